import { listDrift } from '../../conductor/drift/drift-list.js';
import { formatTable } from '../table.js';
import type { Run } from './command.js';
import { print, withDatabase } from './database.js';

const HEADER = ['NODE', 'VM OR DOMAIN', 'KIND', 'SINCE', 'ACTION', 'ATTEMPTS', 'OUTCOME', 'OVER SINCE'];

export const run: Run = async (invocation) => {
  const all = invocation.flags['all'] === true;
  const found = await withDatabase(invocation, (dataSource) => listDrift(dataSource, { all }));
  if (found.length === 0) return print('No node has anything that it should not have.');
  const rows = found.map(({ node, domain, kind, since, action, attempts, outcome, endedAt }) => [
    node,
    domain,
    kind,
    since.toISOString(),
    action,
    attempts,
    outcome,
    endedAt?.toISOString(),
  ]);
  print(formatTable(HEADER, rows));
};
