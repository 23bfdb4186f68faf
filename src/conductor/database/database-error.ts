/** What PostgreSQL says when it refuses, as services ask about it. */
import { QueryFailedError } from 'typeorm';

interface DriverError {
  readonly code?: string;
  readonly constraint?: string;
}

const driverError = (error: unknown): DriverError =>
  error instanceof QueryFailedError ? (error.driverError as DriverError) : {};

/** SQLSTATE, or undefined when the error is none of PostgreSQL's. */
export const sqlState = (error: unknown): string | undefined => driverError(error).code;

/**
 * Name of the unique constraint or index that a row would have violated. Uniqueness is decided by the index alone: a
 * SELECT beforehand would let two requests at the same moment both find a name free.
 */
export const violatedUnique = (error: unknown): string | undefined =>
  driverError(error).code === '23505' ? driverError(error).constraint : undefined;

export const DEADLOCK = '40P01';
/** What a row refers to was deleted a moment ago. */
export const REFERENCE_GONE = '23503';
