import { ApiClient } from '../api-client.js';
import { UsageError } from '../command-line.js';
import type { Run } from './command.js';

export const run: Run = async ({ flags, environment }) => {
  const { url, remove } = flags;
  if ((url === undefined) === (remove !== true)) throw new UsageError('Say either --url or --remove.');
  const api = new ApiClient(environment);
  const path = `/core/volumes/${await api.volumeId(flags['name'] as string)}`;
  const { message } = await (remove === true ? api.call<{ message: string }>('DELETE', `${path}/delete-callback`) : set(api, path, url as string));
  process.stdout.write(`${message}.\n`);
};

/** The API has one operation for a volume that has a callback and another for one that has none. */
async function set(api: ApiClient, path: string, url: string): Promise<{ message: string }> {
  const { volume } = await api.get<{ volume: { callback_url: string | null } }>(path);
  return volume.callback_url === null
    ? api.call('POST', `${path}/attach-callback`, { url })
    : api.call('PUT', `${path}/update-callback`, { url });
}
