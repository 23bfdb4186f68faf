import { describe, expect, it } from '@jest/globals';
import { RETRY_PAUSES_MS, retryPause } from './retry-schedule.js';

const HOUR = 3_600_000;
const total = (random: () => number): number =>
  RETRY_PAUSES_MS.reduce((sum, _, index) => sum + retryPause(index + 1, random)!, 0);

describe('the retries of a webhook', () => {
  it('come ever later', () => {
    for (let attempts = 2; attempts <= RETRY_PAUSES_MS.length; attempts += 1)
      expect(retryPause(attempts, () => 0.5)!).toBeGreaterThan(retryPause(attempts - 1, () => 0.5)!);
  });

  it('go on for about a day', () => {
    expect(total(() => 0)).toBeGreaterThan(18 * HOUR);
    expect(total(() => 1)).toBeLessThan(25 * HOUR);
  });

  it('are spread by a tenth either way', () => {
    expect(retryPause(1, () => 0)).toBe(4_500);
    expect(retryPause(1, () => 0.5)).toBe(5_000);
    expect(retryPause(1, () => 1)).toBe(5_500);
  });

  it('end', () => expect(retryPause(RETRY_PAUSES_MS.length + 1)).toBeUndefined());
});
