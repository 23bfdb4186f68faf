import { ApiClient } from '../api-client.js';
import { formatTable } from '../table.js';
import type { Run } from './command.js';

interface Volume {
  readonly id: number;
  readonly name: string;
  readonly status: string;
  readonly size: number;
  readonly bootable: boolean;
  readonly os_image: string;
  readonly environment: { readonly name: string };
  readonly attachments: readonly { readonly instance_id: number; readonly status: string }[];
}

export const run: Run = async ({ environment }) => {
  const { volumes } = await new ApiClient(environment).get<{ volumes: Volume[] }>('/core/volumes');
  const rows = volumes.map((volume) => [
    volume.id,
    `${volume.environment.name}/${volume.name}`,
    volume.status,
    volume.size,
    volume.bootable ? volume.os_image : null,
    volume.attachments.find(({ status }) => status !== 'DETACHED')?.instance_id,
  ]);
  process.stdout.write(`${formatTable(['ID', 'VOLUME', 'STATUS', 'GIB', 'BOOTS', 'VM'], rows)}\n`);
};
