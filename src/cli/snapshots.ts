/** What the commands about snapshots have in common. */
import type { ApiClient } from './api-client.js';

export interface CliSnapshot {
  readonly id: number;
  readonly name: string;
  readonly description: string;
  readonly status: 'CREATING' | 'SUCCESS' | 'ERROR' | 'DELETING';
  readonly fault: string | null;
  readonly size: number;
  readonly size_bytes: number | null;
  readonly is_image: boolean;
  readonly vm_id: number;
  readonly vm_name: string;
  readonly region: string;
  readonly created_at: string;
}

/** @param wanted name or id; a name comes first. */
export async function findSnapshot(api: ApiClient, wanted: string): Promise<CliSnapshot> {
  const { snapshots } = await api.get<{ snapshots: CliSnapshot[] }>(`/core/snapshots?search=${encodeURIComponent(wanted)}`);
  const found = snapshots.find(({ name }) => name === wanted) ?? snapshots.find(({ id }) => String(id) === wanted);
  if (found === undefined) throw new Error(`There is no snapshot '${wanted}'.`);
  return found;
}

/** In MiB: most copies take less than a GiB. */
export const mebibytes = (bytes: number | null): number | null => (bytes === null ? null : Math.ceil(bytes / 2 ** 20));
