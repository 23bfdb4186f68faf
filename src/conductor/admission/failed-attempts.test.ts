import { describe, expect, it } from '@jest/globals';
import { FailedAttempts, LOOKUPS } from './failed-attempts.js';

describe('failed attempts', () => {
  it('are limited after a burst, for one address alone', () => {
    const failed = new FailedAttempts(LOOKUPS, () => 0);
    for (let count = 0; count < LOOKUPS.burst; count += 1) expect(failed.add('10.0.0.1')).toBeUndefined();
    expect(failed.add('10.0.0.1')).toBe(1);
    expect(failed.add('10.0.0.2')).toBeUndefined();
  });

  it('are forgiven with time', () => {
    let now = 0;
    const failed = new FailedAttempts(LOOKUPS, () => now);
    for (let count = 0; count <= LOOKUPS.burst; count += 1) failed.add('10.0.0.1');
    now = 500;
    expect(failed.add('10.0.0.1')).toBe(1);
    now = 1_100;
    expect(failed.add('10.0.0.1')).toBeUndefined();
    expect(failed.add('10.0.0.1')).toBe(1);
  });

  it('are known before the next one is made, and asking costs nothing', () => {
    const failed = new FailedAttempts(LOOKUPS, () => 0);
    for (let count = 0; count < LOOKUPS.burst; count += 1) {
      expect(failed.limited('10.0.0.1')).toBeUndefined();
      failed.add('10.0.0.1');
    }
    expect(failed.limited('10.0.0.1')).toBe(1);
    expect(failed.limited('10.0.0.2')).toBeUndefined();
  });

  it('need bounded memory, however many addresses fail', () => {
    const failed = new FailedAttempts(LOOKUPS, () => 0);
    for (let count = 0; count < 25_000; count += 1) failed.add(`address-${count}`);
    expect(failed.size).toBe(10_000);
  });
});
