import { ApiClient } from '../api-client.js';
import { listFlag } from '../command-line.js';
import { findSnapshot } from '../snapshots.js';
import type { Run } from './command.js';

export const run: Run = async ({ flags, environment }) => {
  const api = new ApiClient(environment);
  const snapshot = await findSnapshot(api, flags['snapshot'] as string);
  const { image } = await api.call<{ image: { id: number; name: string } }>('POST', `/core/snapshots/${snapshot.id}/image`, {
    name: flags['name'] ?? snapshot.name,
    labels: listFlag(flags, 'labels'),
  });
  process.stdout.write(`Image ${image.id} '${image.name}' is made of it.\n`);
};
