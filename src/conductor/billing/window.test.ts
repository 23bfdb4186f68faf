import { describe, expect, it } from '@jest/globals';
import { pieces, windowOf } from './window.js';

const NOW = new Date('2026-03-10T12:30:00Z');
const iso = (query: object) => {
  const { since, until } = windowOf(query, NOW);
  return [since.toISOString(), until.toISOString()];
};

describe('the time asked for', () => {
  it('is this month so far, unless something else is said', () => {
    expect(iso({})).toEqual(['2026-03-01T00:00:00.000Z', '2026-03-10T12:30:00.000Z']);
  });

  it('is the whole month when it ends with it', () => {
    expect(iso({ end_date: '2026-03-01T00:00:00' })).toEqual(['2026-02-01T00:00:00.000Z', '2026-03-01T00:00:00.000Z']);
  });

  it('is in UTC unless a zone is named, and may be a day', () => {
    expect(iso({ start_date: '2026-01-01', end_date: '2026-01-02T00:00:00+02:00' })).toEqual([
      '2026-01-01T00:00:00.000Z',
      '2026-01-01T22:00:00.000Z',
    ]);
  });

  it.each(['2026-02-30', '2026-13-01', '2026-01-01T25:00:00', 'now', '1e9', '2026-1-1'])('is not %s', (start_date) => {
    expect(() => windowOf({ start_date }, NOW)).toThrow('no time like');
  });
});

describe('the pieces of a graph', () => {
  it('are hours of a few days and days of more, and leave nothing out', () => {
    const few = pieces({ since: new Date('2026-01-01T00:30:00Z'), until: new Date('2026-01-01T03:00:00Z') });
    expect(few.granularity).toBe(3600);
    expect(few.windows.map(({ since }) => since.toISOString().slice(11, 16))).toEqual(['00:30', '01:30', '02:30']);
    expect(few.windows.at(-1)!.until.toISOString()).toBe('2026-01-01T03:00:00.000Z');
    const many = pieces({ since: new Date('2026-01-01T00:00:00Z'), until: new Date('2026-02-01T00:00:00Z') });
    expect(many.granularity).toBe(86_400);
    expect(many.windows).toHaveLength(31);
  });
});
