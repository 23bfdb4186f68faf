import { fsck } from '../../conductor/admin/fsck.js';
import type { Run } from './command.js';
import { print, withDatabase } from './database.js';

export const run: Run = async (invocation) => {
  const repair = invocation.flags['repair'] === true;
  const findings = await withDatabase(invocation, (dataSource) => fsck(dataSource, { repair }));
  for (const { invariant, subject, detail, advice, repaired } of findings)
    print(`${invariant}: ${subject} ${detail}\n  ${repaired ? 'Repaired.' : advice}`);
  if (findings.length === 0) print('Every invariant holds.');
  return findings.length === 0 ? 0 : 1;
};
