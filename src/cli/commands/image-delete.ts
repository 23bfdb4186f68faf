import { ApiClient } from '../api-client.js';
import { findImage } from '../images.js';
import type { Run } from './command.js';

export const run: Run = async ({ flags, environment }) => {
  const api = new ApiClient(environment);
  const { id, name } = await findImage(api, flags['image'] as string);
  await api.call('DELETE', `/core/images/${id}`);
  process.stdout.write(`Image ${id} '${name}' is deleted.\n`);
};
