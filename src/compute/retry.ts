/**
 * Trying again: jittered exponential pauses, so that a fleet does not come back to a restarted conductor in one
 * instant, and a log that tells of an outage when it begins, once a minute while it lasts, and when it is over.
 *
 * Only what the caller calls passing is tried again; everything else is thrown at once.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 10_000;
const LOG_EVERY_MS = 60_000;

export function pauseAfter(failures: number): number {
  const ceiling = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** failures);
  return Math.round(ceiling * (0.5 + Math.random() / 2));
}

export interface Persistence {
  /** What is tried, as it reads in the log: `registering with the conductor`. */
  readonly what: string;
  readonly isPassing: (error: unknown) => boolean;
  readonly signal: AbortSignal;
  readonly logger: Logger;
}

/** Tries until it succeeds. @throws what is not passing, or the signal's reason. */
export async function persistently<Result>(attempt: () => Promise<Result>, persistence: Persistence): Promise<Result> {
  const { what, isPassing, signal, logger } = persistence;
  let loggedAt = -Infinity;
  for (let failures = 0; ; failures++) {
    signal.throwIfAborted();
    try {
      const result = await attempt();
      if (failures > 0) logger.info({ failures }, `${what}: it works again`);
      return result;
    } catch (error) {
      if (!isPassing(error)) throw error;
      if (Date.now() - loggedAt >= LOG_EVERY_MS) {
        logger.warn({ problem: (error as Error).message, failures: failures + 1 }, `${what} does not work yet, trying on`);
        loggedAt = Date.now();
      }
    }
    await sleep(pauseAfter(failures), undefined, { signal });
  }
}
