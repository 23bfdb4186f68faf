import { ApiClient } from '../api-client.js';
import { findImage, stateOf } from '../images.js';
import { formatTable } from '../table.js';
import type { Run } from './command.js';

export const run: Run = async ({ flags, environment }) => {
  const image = await findImage(new ApiClient(environment), flags['image'] as string);
  const { transfer } = image;
  const rows = [
    ['id', image.id],
    ['name', image.name],
    ['region', image.region_name],
    ['type', `${image.type} ${image.version}`.trimEnd()],
    ['size', image.display_size],
    ['minimum disk', `${image.minimum_disk} GB`],
    ['owner', image.is_public ? 'public' : 'own'],
    ['labels', image.labels.map(({ label }) => label).join(', ') || null],
    ['status', stateOf(image)],
    ['problem', image.problem],
    ...(transfer
      ? [
          ['source', transfer.url ?? transfer.source],
          ['format', transfer.format],
          ['checksum', transfer.checksum],
          ['deadline', transfer.deadline],
          ['whose turn', transfer.owner],
          ['next', transfer.next_action],
        ]
      : []),
  ];
  process.stdout.write(`${formatTable(['WHAT', 'VALUE'], rows.filter(([, value]) => value !== null))}\n`);
};
