import { readAudit } from '../../conductor/audit/read-audit.js';
import type { OrganizationId } from '../../protocol/ids.js';
import { apiTime } from '../../conductor/http/envelope.js';
import { integerFlag, UsageError } from '../command-line.js';
import { formatTable } from '../table.js';
import type { Run } from './command.js';
import { print, withDatabase } from './database.js';

const LARGEST_ID = 2 ** 31 - 1;
const MOST = 10_000;

export const run: Run = async ({ flags, environment }) => {
  const { organization, resource, request } = flags;
  if (typeof organization !== 'string') throw new UsageError('Say which --organization.');
  const resourceId = flags['id'] === undefined ? undefined : integerFlag(flags, 'id', 0, [1, LARGEST_ID]);
  const page = { page: 1, pageSize: integerFlag(flags, 'last', 50, [1, MOST]) };
  const filter = {
    resource: typeof resource === 'string' ? resource : undefined,
    requestId: typeof request === 'string' ? request : undefined,
    resourceId,
  };
  const { rows, count } = await withDatabase({ flags, environment }, async (dataSource) => {
    const [found] = await dataSource.query<{ id: OrganizationId }[]>('SELECT id FROM organization WHERE name = $1', [organization]);
    if (found === undefined) throw new UsageError(`There is no organization '${organization}'.`);
    return await readAudit(dataSource, found.id, filter, page);
  });
  const table = rows.map((row) => [
    apiTime(row.time),
    row.user ?? String(row.user_id),
    row.api_key_id === null ? '' : String(row.api_key_id),
    row.address ?? '',
    row.method === null ? 'by itself' : `${row.method} ${row.path}`,
    row.resource_ids.join(' '),
    row.request_id ?? '',
  ]);
  print(formatTable(['TIME', 'WHO', 'KEY', 'FROM', 'WHAT', 'RESOURCES', 'REQUEST'], table));
  if (rows.length < count) print(`${rows.length} of ${count}; see more with --last.`);
};
