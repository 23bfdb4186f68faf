/** What the commands that wait for something have in common. */
import { setTimeout as sleep } from 'node:timers/promises';

const LOOK_EVERY_MS = 500;

/** Asks until there is an answer. Who does not want to wait any longer ends the process. */
export async function until<Answer>(ask: () => Promise<Answer | undefined>): Promise<Answer> {
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    await sleep(LOOK_EVERY_MS);
  }
}
