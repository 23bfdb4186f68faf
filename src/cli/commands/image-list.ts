import { ApiClient } from '../api-client.js';
import { listImages, stateOf } from '../images.js';
import { formatTable } from '../table.js';
import type { Run } from './command.js';

const HEADER = ['ID', 'NAME', 'REGION', 'TYPE', 'VERSION', 'SIZE', 'OWNER', 'STATUS'];

export const run: Run = async ({ environment }) => {
  const images = await listImages(new ApiClient(environment));
  const rows = images.map((image) => [
    image.id,
    image.name,
    image.region_name,
    image.type,
    image.version || null,
    image.display_size,
    image.is_public ? 'public' : 'own',
    stateOf(image),
  ]);
  process.stdout.write(`${formatTable(HEADER, rows)}\n`);
};
