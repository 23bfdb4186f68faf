import { describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import type { SnapshotUuid } from '../../protocol/ids.js';
import { SnapshotRemoval } from './snapshot-removal.js';

const SNAPSHOT = '6f9619ff-8b86-4d01-b42d-00cf4fc964ff' as SnapshotUuid;

describe('the removal of snapshots', () => {
  const setUp = (remove: () => Promise<void>) => {
    const confirmed: SnapshotUuid[] = [];
    let told: () => void = () => undefined;
    const removal = new SnapshotRemoval({
      remove,
      confirm: async (uuid) => (confirmed.push(uuid), told()),
      logger: pino({ level: 'silent' }),
    });
    return { removal, confirmed, untilTold: () => new Promise<void>((resolve) => (told = resolve)) };
  };

  it('tells that a file is gone after it is gone, and is in hand only once', async () => {
    let finish: () => void = () => undefined;
    let removals = 0;
    const { removal, confirmed, untilTold } = setUp(() => (removals++, new Promise<void>((resolve) => (finish = resolve))));
    removal.asked([SNAPSHOT]);
    removal.asked([SNAPSHOT]);
    expect({ removals, confirmed }).toEqual({ removals: 1, confirmed: [] });
    const told = untilTold();
    finish();
    await told;
    expect(confirmed).toEqual([SNAPSHOT]);
  });

  it('does not tell that a file is gone that could not be removed, and tries when it is asked again', async () => {
    let attempts = 0;
    const { removal, confirmed, untilTold } = setUp(async () => {
      if (++attempts === 1) throw new Error('busy');
    });
    removal.asked([SNAPSHOT]);
    await new Promise(setImmediate);
    expect(confirmed).toEqual([]);
    const told = untilTold();
    removal.asked([SNAPSHOT]);
    await told;
    expect({ attempts, confirmed }).toEqual({ attempts: 2, confirmed: [SNAPSHOT] });
  });
});
