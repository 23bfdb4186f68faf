/**
 * Tells a lost race for a unique name from every other failure. Uniqueness is decided by the index alone: a SELECT
 * beforehand would let two requests at the same moment both find the name free.
 */
import { QueryFailedError } from 'typeorm';

const UNIQUE_VIOLATION = '23505';

export function violatesUnique(error: unknown, constraint: string): boolean {
  if (!(error instanceof QueryFailedError)) return false;
  const { code, constraint: violated } = error.driverError as { code?: string; constraint?: string };
  return code === UNIQUE_VIOLATION && violated === constraint;
}
