import { ApiClient } from '../api-client.js';
import { UsageError } from '../command-line.js';
import { followImage, registerImage } from '../images.js';
import type { Run } from './command.js';

export const run: Run = async ({ flags, environment }) => {
  const { url, checksum } = flags;
  if (typeof url !== 'string' || typeof checksum !== 'string')
    throw new UsageError('Give --url and --checksum. A file that you have here is sent by: baton image upload FILE.');
  const api = new ApiClient(environment);
  const image = await registerImage(api, flags, { name: flags['name'] as string, url, checksum });
  process.stdout.write(`Image ${image.id} is registered.\n`);
  if (flags['no-wait'] === true) return 0;
  return await followImage(api, image.id, (line) => process.stderr.write(`${line}\n`));
};
