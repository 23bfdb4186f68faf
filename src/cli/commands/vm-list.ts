import { ApiClient } from '../api-client.js';
import { formatTable } from '../table.js';
import type { CliVm } from '../virtual-machines.js';
import type { Run } from './command.js';

const HEADER = ['ID', 'VM', 'STATUS', 'FLAVOR', 'IMAGE', 'FIXED IP', 'FLOATING IP'];

export const run: Run = async ({ flags, environment }) => {
  const only = flags['environment'] as string | undefined;
  const query = only === undefined ? '' : `?environment=${encodeURIComponent(only)}&exact_environment_match=true`;
  const { instances } = await new ApiClient(environment).get<{ instances: CliVm[] }>(`/core/virtual-machines${query}`);
  const rows = instances.map((vm) => [
    vm.id,
    `${vm.environment.name}/${vm.name}`,
    vm.status,
    vm.flavor.name,
    vm.image.name,
    vm.fixed_ip,
    vm.floating_ip,
  ]);
  process.stdout.write(`${formatTable(HEADER, rows)}\n`);
};
