/** Waits for what comes true by itself: the expectation is tried until it holds, and its last failure is the test's. */
import { setTimeout as sleep } from 'node:timers/promises';

export async function eventually<Result>(
  expectation: () => Result | Promise<Result>,
  patienceMs = 10_000,
): Promise<Result> {
  const deadline = Date.now() + patienceMs;
  for (;;) {
    try {
      return await expectation();
    } catch (failure) {
      if (Date.now() > deadline) throw failure;
      await sleep(20);
    }
  }
}
