import { ApiClient } from '../api-client.js';
import { mebibytes, type CliSnapshot } from '../snapshots.js';
import { formatTable } from '../table.js';
import type { Run } from './command.js';

const HEADER = ['ID', 'SNAPSHOT', 'STATUS', 'VM', 'DISK GB', 'TAKES MIB', 'IMAGE', 'CREATED'];

export const run: Run = async ({ environment }) => {
  const { snapshots } = await new ApiClient(environment).get<{ snapshots: CliSnapshot[] }>('/core/snapshots');
  const rows = snapshots.map((snapshot) => [
    snapshot.id,
    snapshot.name,
    snapshot.status,
    snapshot.vm_name,
    snapshot.size,
    mebibytes(snapshot.size_bytes),
    snapshot.is_image ? 'yes' : null,
    snapshot.created_at,
  ]);
  process.stdout.write(`${formatTable(HEADER, rows)}\n`);
};
