import { describe, expect, it } from '@jest/globals';
import { DURATIONS, RESOLUTIONS, resolutionFor, type Duration } from './resolutions.js';

describe('metrics', () => {
  it.each<[Duration, number]>([
    ['1h', 60],
    ['12h', 60],
    ['1d', 300],
    ['3d', 300],
    ['7d', 3600],
    ['30d', 3600],
  ])('of %s come in periods of %i seconds', (duration, granularity) => {
    expect(resolutionFor(duration)).toBe(granularity);
  });

  it('are kept for as long as they can be asked for', () => {
    for (const duration of Object.keys(DURATIONS) as Duration[]) {
      const { keptSeconds } = RESOLUTIONS.find(({ granularity }) => granularity === resolutionFor(duration))!;
      expect(keptSeconds).toBeGreaterThanOrEqual(DURATIONS[duration]);
    }
  });

  it('are few enough for a thousand VMs', () => {
    const rows = RESOLUTIONS.reduce((sum, { granularity, keptSeconds }) => sum + keptSeconds / granularity, 0);
    expect(rows).toBeLessThan(3_000);
  });
});
