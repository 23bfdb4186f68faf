import { ApiClient } from '../api-client.js';
import { formatTable } from '../table.js';
import type { CliVm } from '../virtual-machines.js';
import type { Run } from './command.js';

export const run: Run = async ({ flags, environment }) => {
  const api = new ApiClient(environment);
  const { instance: vm } = await api.get<{ instance: CliVm }>(await api.vmPath(flags['name'] as string));
  const { flavor } = vm;
  const gpus = flavor.gpu_count > 0 ? `, ${flavor.gpu_count} × ${flavor.gpu}` : '';
  const rows: (readonly [string, unknown])[] = [
    ['id', vm.id],
    ['uuid', vm.uuid],
    ['name', vm.name],
    ['environment', vm.environment.name],
    ['region', vm.environment.region],
    ['status', vm.is_snapshotting ? `${vm.status}, a snapshot is being taken` : vm.status],
    ['power state', vm.power_state],
    ['fault', vm.fault],
    ['flavor', `${flavor.name}: ${flavor.cpu} vCPU, ${flavor.ram} GB memory, ${flavor.disk} GB disk${gpus}`],
    ['image', vm.image.name],
    ['keys', vm.key_names.join(', ')],
    ['labels', vm.labels.join(', ')],
    ['fixed IP', vm.fixed_ip],
    ['floating IP', vm.floating_ip],
    ['volumes', vm.volume_attachments.map(({ device, volume }) => (device === null ? volume.name : `${volume.name} as ${device}`)).join(', ')],
    ['created', vm.created_at],
    ['reachable', vm.reachable_at],
    ['can now', vm.allowed_actions.join(', ')],
  ];
  process.stdout.write(`${formatTable(['WHAT', 'VALUE'], rows.filter(([, value]) => value !== null && value !== ''))}\n`);
};
