import { isEmail } from 'class-validator';
import { addMember } from '../../conductor/identity/add-member.js';
import { UsageError } from '../command-line.js';
import type { Run } from './command.js';
import { print, withDatabase } from './database.js';

export const run: Run = async (invocation) => {
  const { organization, email, owner } = invocation.flags;
  if (typeof organization !== 'string' || !/^\S(.{1,48}\S)$/.test(organization))
    throw new UsageError('Say which --organization, by a name of 3 to 50 characters.');
  if (typeof email !== 'string' || !isEmail(email)) throw new UsageError('Say whom by --email.');
  const member = { organization, email, owner: owner === true };
  print(await withDatabase(invocation, (dataSource) => addMember(dataSource, member)));
};
