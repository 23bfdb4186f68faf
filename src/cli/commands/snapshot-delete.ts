import { ApiClient } from '../api-client.js';
import { findSnapshot } from '../snapshots.js';
import type { Run } from './command.js';

export const run: Run = async ({ flags, environment }) => {
  const api = new ApiClient(environment);
  const { id, name } = await findSnapshot(api, flags['snapshot'] as string);
  await api.call('DELETE', `/core/snapshots/${id}`);
  process.stdout.write(`Snapshot ${id} '${name}' is being deleted.\n`);
};
