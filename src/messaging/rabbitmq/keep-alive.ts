/**
 * The one recovery path of the RabbitMQ adapters: something that lives on the broker (a connection, a channel with
 * its consumer) is set up, lives until it is lost, and is set up again after a jittered exponential pause, for ever.
 * Anything unexpected ends the session; nothing is repaired in place, so no half-restored state exists.
 */
import type { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 5_000;
const ANSWER_WITHIN_MS = 10_000;

/** Sets up and lives until lost. Calls `established` when it stands, and rejects with the reason of the loss. */
export type Session = (established: () => void) => Promise<void>;

export async function keepAlive(
  session: Session,
  signal: AbortSignal,
  onLost: (reason: Error, retryInMs: number) => void,
): Promise<void> {
  let failures = 0;
  while (!signal.aborted) {
    try {
      await session(() => (failures = 0));
    } catch (reason) {
      if (signal.aborted) return;
      const pause = pauseAfter(failures++);
      onLost(reason as Error, pause);
      await sleep(pause, undefined, { signal }).catch(() => undefined);
    }
  }
}

/** Jittered, so that a fleet does not return to a restarted broker in one instant. */
function pauseAfter(failures: number): number {
  const ceiling = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** failures);
  return Math.round(ceiling * (0.5 + Math.random() / 2));
}

/** Rejects when a connection or channel has closed. Attached at once after creation: an `error` unheard would throw. */
export function lossOf(emitter: EventEmitter, what: string): Promise<never> {
  const lost = new Promise<never>((_resolve, reject) => {
    let cause: Error | undefined;
    emitter.on('error', (error: Error) => (cause = error));
    emitter.on('close', (error?: Error) => reject(cause ?? error ?? new Error(`${what} was closed`)));
  });
  lost.catch(() => undefined);
  return lost;
}

/** A quorum queue without a leader answers nothing, and AMQP itself knows no time limit: without one, nobody would try again. */
export async function answeredInTime<Answer>(answer: Promise<Answer>, about: string): Promise<Answer> {
  const over = new AbortController();
  const silence = sleep(ANSWER_WITHIN_MS, undefined, { signal: over.signal }).then(
    () => Promise.reject(new Error(`RabbitMQ did not answer ${about} within ${ANSWER_WITHIN_MS / 1000} s`)),
    () => Promise.reject(new Error('it has answered')),
  );
  try {
    return await Promise.race([answer, silence]);
  } finally {
    silence.catch(() => undefined);
    over.abort();
  }
}
