import { ApiClient } from '../api-client.js';
import { integerFlag, UsageError } from '../command-line.js';
import type { Run } from './command.js';

const LARGEST = 2 ** 31 - 1;

export const run: Run = async ({ flags, environment }) => {
  if (flags['size'] === undefined) throw new UsageError('Say what --size.');
  const size = integerFlag(flags, 'size', 0, [1, LARGEST]);
  const api = new ApiClient(environment);
  const { volume } = await api.call<{ volume: { name: string; size: number } }>('PATCH', `/core/volumes/${await api.volumeId(flags['name'] as string)}`, { size });
  process.stdout.write(`Volume ${volume.name} has ${volume.size} GiB.\n`);
};
