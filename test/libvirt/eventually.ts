/** Waits until the question has an answer that is not undefined or false. Failing questions are asked again. */
import { setTimeout as delay } from 'node:timers/promises';

export async function eventually<T>(
  what: string,
  ask: () => Promise<T | undefined | false> | T | undefined | false,
  withinMs: number,
): Promise<T> {
  let last: unknown;
  for (const deadline = Date.now() + withinMs; Date.now() < deadline; await delay(100)) {
    try {
      const answer = await ask();
      if (answer !== undefined && answer !== false) return answer;
    } catch (error) {
      last = error;
    }
  }
  throw new Error(`not within ${withinMs} ms: ${what}`, { cause: last });
}
