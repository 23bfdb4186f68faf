import { setAutoRecover } from '../../conductor/virtual-machines/auto-recover.js';
import { UsageError } from '../command-line.js';
import type { Run } from './command.js';
import { print, withDatabase } from './database.js';

export const run: Run = async (invocation) => {
  const { organization, flavor, off } = invocation.flags;
  const named = [organization, flavor].filter((name) => typeof name === 'string');
  if (named.length !== 1) throw new UsageError('Say of which --organization or of which --flavor.');
  const of = typeof organization === 'string' ? 'organization' : 'flavor';
  const [name] = named as [string];
  const wanted = off !== true;
  if (!(await withDatabase(invocation, (dataSource) => setAutoRecover(dataSource, of, name, wanted))))
    throw new UsageError(`There is no ${of} '${name}'.`);
  print(
    wanted
      ? `VMs that are created from now on (${of} ${name}) are started elsewhere, with an EMPTY disk, when their node is lost.`
      : `VMs that are created from now on (${of} ${name}) stay with their node.`,
  );
};
