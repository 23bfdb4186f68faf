import { overdue } from '../../conductor/admin/unfinished-states.js';
import { formatTable } from '../table.js';
import type { Run } from './command.js';
import { print, withDatabase } from './database.js';

const HEADER = ['WHAT', 'STATE', 'DUE AT', 'WAITS FOR', 'WHAT HAPPENS NEXT'];

export const run: Run = async (invocation) => {
  const found = await withDatabase(invocation, (dataSource) => overdue(dataSource));
  print(formatTable(HEADER, found.map(({ subject, state, due, owner, next }) => [subject, state, due.toISOString(), owner, next])));
  return found.length === 0 ? 0 : 1;
};
