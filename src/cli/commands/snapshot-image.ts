import { ApiClient } from '../api-client.js';
import { findSnapshot, labelsIn } from '../snapshots.js';
import type { Run } from './command.js';

export const run: Run = async ({ flags, environment }) => {
  const api = new ApiClient(environment);
  const snapshot = await findSnapshot(api, flags['snapshot'] as string);
  const { image } = await api.call<{ image: { id: number; name: string } }>('POST', `/core/snapshots/${snapshot.id}/image`, {
    name: flags['name'] ?? snapshot.name,
    labels: labelsIn(flags),
  });
  process.stdout.write(`Image ${image.id} '${image.name}' is made of it.\n`);
};
