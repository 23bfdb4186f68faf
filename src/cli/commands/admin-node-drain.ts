import { drainNode } from '../../conductor/fleet/node-drain.js';
import { UsageError } from '../command-line.js';
import type { Run } from './command.js';
import { print, withDatabase } from './database.js';
import { drainTable } from './drain-table.js';

export const run: Run = async (invocation) => {
  const node = invocation.flags['node'] as string;
  const progress = await withDatabase(invocation, (dataSource) =>
    drainNode(dataSource, node, { stopVms: invocation.flags['stop'] === true }),
  );
  if (progress === undefined) throw new UsageError(`There is no node '${node}'.`);
  print(drainTable(progress));
};
