/** What each command is given, and what it gives back: its exit status, or none if it serves until it is stopped. */
import type { Environment, Flags } from '../../config/load.js';

export interface Invocation {
  readonly flags: Flags;
  readonly environment: Environment;
}

export type Run = (invocation: Invocation) => Promise<number | void>;
