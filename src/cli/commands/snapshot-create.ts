import { ApiClient } from '../api-client.js';
import { listFlag, UsageError } from '../command-line.js';
import { mebibytes, type CliSnapshot } from '../snapshots.js';
import { until } from '../waiting.js';
import type { Run } from './command.js';

interface Answer {
  readonly snapshot: CliSnapshot;
}

export const run: Run = async ({ flags, environment }) => {
  if (typeof flags['vm'] !== 'string') throw new UsageError('Say of which --vm.');
  const api = new ApiClient(environment);
  const { snapshot: asked } = await api.call<Answer>('POST', `${await api.vmPath(flags['vm'])}/snapshots`, {
    name: flags['name'],
    description: flags['description'] ?? '',
    labels: listFlag(flags, 'labels'),
  });
  process.stdout.write(`Snapshot ${asked.id} is being taken.\n`);
  if (flags['no-wait'] === true) return 0;
  const snapshot = await until(async () => {
    const { snapshot: now } = await api.get<Answer>(`/core/snapshots/${asked.id}`);
    return now.status === 'CREATING' ? undefined : now;
  });
  const failed = snapshot.status === 'ERROR';
  process.stdout.write(failed ? `It failed: ${snapshot.fault}\n` : `It is ${snapshot.status} and takes ${mebibytes(snapshot.size_bytes)} MiB.\n`);
  return failed ? 1 : 0;
};
