import { describe, expect, it } from '@jest/globals';
import { BURST, FailedLookups } from './failed-lookups.js';

describe('failed look-ups', () => {
  it('are limited after a burst, for one address alone', () => {
    const failed = new FailedLookups(() => 0);
    for (let count = 0; count < BURST; count += 1) expect(failed.add('10.0.0.1')).toBeUndefined();
    expect(failed.add('10.0.0.1')).toBe(1);
    expect(failed.add('10.0.0.2')).toBeUndefined();
  });

  it('are forgiven with time', () => {
    let now = 0;
    const failed = new FailedLookups(() => now);
    for (let count = 0; count <= BURST; count += 1) failed.add('10.0.0.1');
    now = 500;
    expect(failed.add('10.0.0.1')).toBe(1);
    now = 1_100;
    expect(failed.add('10.0.0.1')).toBeUndefined();
    expect(failed.add('10.0.0.1')).toBe(1);
  });

  it('need bounded memory, however many addresses fail', () => {
    const failed = new FailedLookups(() => 0);
    for (let count = 0; count < 25_000; count += 1) failed.add(`address-${count}`);
    expect(failed.size).toBe(10_000);
  });
});
