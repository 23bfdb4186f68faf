import { createJoinToken } from '../../conductor/fleet/join-tokens.js';
import { integerFlag } from '../command-line.js';
import type { Run } from './command.js';
import { print, withDatabase } from './database.js';

const YEAR_SECONDS = 365 * 24 * 3600;

export const run: Run = async (invocation) => {
  const uses = integerFlag(invocation.flags, 'uses', 1, [1, 100_000]);
  const ttlSeconds = integerFlag(invocation.flags, 'ttl', 3600, [1, YEAR_SECONDS]);
  print(await withDatabase(invocation, (dataSource) => createJoinToken(dataSource, { uses, ttlSeconds })));
};
