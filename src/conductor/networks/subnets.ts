/**
 * The subnets of environments: each gets one of its own, out of one pool for the whole cloud, and gives it back when it
 * is deleted. Two environments that are made at the same time are told apart by `free_subnet`, which lets one in after
 * the other; the exclusion constraint on the table is the last guard.
 */
import { QueryFailedError } from 'typeorm';
import type { Config } from '../../config/settings.js';
import { ApiError } from '../http/api-error.js';

const CHECK_VIOLATION = '23514';

/** The parameters of the SQL function `free_subnet`, which answers null when the pool is exhausted. */
export const subnetPool = ({ networkPool, networkPrefix }: Pick<Config, 'networkPool' | 'networkPrefix'>): [string, number] => [
  networkPool,
  networkPrefix,
];

/** What to tell when an environment could not be inserted because there was no subnet for it; else undefined. */
export function poolExhausted(error: unknown): ApiError | undefined {
  if (!(error instanceof QueryFailedError)) return undefined;
  const { code, constraint } = error.driverError as { code?: string; constraint?: string };
  if (code !== CHECK_VIOLATION || constraint !== 'ck_environment_subnet') return undefined;
  return new ApiError(
    409,
    'Every subnet of this cloud is in use. Delete an environment that is no longer needed, or ask the operator to enlarge the pool of subnets.',
    'no_capacity',
  );
}
