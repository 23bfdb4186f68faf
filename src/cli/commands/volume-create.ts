import { ApiClient } from '../api-client.js';
import { integerFlag, UsageError } from '../command-line.js';
import type { Run } from './command.js';

const LARGEST = 2 ** 31 - 1;

export const run: Run = async ({ flags, environment }) => {
  if (flags['environment'] === undefined) throw new UsageError('Say in which --environment.');
  if (flags['size'] === undefined) throw new UsageError('Say what --size.');
  const { volume } = await new ApiClient(environment).call<{ volume: { id: number; status: string } }>('POST', '/core/volumes', {
    name: flags['name'],
    environment_name: flags['environment'],
    size: integerFlag(flags, 'size', 0, [1, LARGEST]),
    volume_type: 'Cloud-SSD',
    ...(flags['image-id'] !== undefined && { image_id: integerFlag(flags, 'image-id', 0, [1, LARGEST]) }),
    ...(flags['description'] !== undefined && { description: flags['description'] }),
    ...(flags['callback'] !== undefined && { callback_url: flags['callback'] }),
  });
  process.stdout.write(`Volume ${volume.id} is ${volume.status}.\n`);
};
