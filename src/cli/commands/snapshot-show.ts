import { ApiClient } from '../api-client.js';
import { findSnapshot, mebibytes, type CliSnapshot } from '../snapshots.js';
import { formatTable } from '../table.js';
import type { Run } from './command.js';

/** What the API tells of one snapshot alone. */
interface Detailed extends CliSnapshot {
  readonly labels: string;
  readonly vm_status: string;
  readonly vm_environment: string;
  readonly vm_flavor: string;
  readonly vm_image: string;
  readonly custom_image: string | null;
}

export const run: Run = async ({ flags, environment }) => {
  const api = new ApiClient(environment);
  const { id } = await findSnapshot(api, flags['snapshot'] as string);
  const { snapshot } = await api.get<{ snapshot: Detailed }>(`/core/snapshots/${id}`);
  const takes = mebibytes(snapshot.size_bytes);
  const rows: (readonly [string, unknown])[] = [
    ['id', snapshot.id],
    ['name', snapshot.name],
    ['description', snapshot.description],
    ['status', snapshot.status],
    ['fault', snapshot.fault],
    ['of VM', `${snapshot.vm_environment}/${snapshot.vm_name}, ${snapshot.vm_status}`],
    ['flavor', snapshot.vm_flavor],
    ['made of', snapshot.vm_image],
    ['region', snapshot.region],
    ['disk', `${snapshot.size} GB`],
    ['takes', takes === null ? null : `${takes} MiB`],
    ['image', snapshot.custom_image],
    ['labels', snapshot.labels],
    ['created', snapshot.created_at],
  ];
  process.stdout.write(`${formatTable(['WHAT', 'VALUE'], rows.filter(([, value]) => value !== null && value !== ''))}\n`);
};
