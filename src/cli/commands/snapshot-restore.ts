import { ApiClient } from '../api-client.js';
import { UsageError } from '../command-line.js';
import { findSnapshot } from '../snapshots.js';
import type { CliVm } from '../virtual-machines.js';
import type { Run } from './command.js';

export const run: Run = async ({ flags, environment }) => {
  if (typeof flags['vm'] !== 'string') throw new UsageError('Say by --vm how the new virtual machine is called.');
  const api = new ApiClient(environment);
  const { id } = await findSnapshot(api, flags['snapshot'] as string);
  const { instance } = await api.call<{ instance: CliVm }>('POST', `/core/snapshots/${id}/restore`, { new_vm_name: flags['vm'] });
  process.stdout.write(`VM ${instance.id} '${instance.name}' is ${instance.status}.\n`);
};
