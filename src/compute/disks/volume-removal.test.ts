import { describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import type { VolumeUuid } from '../../protocol/ids.js';
import { VolumeRemoval } from './volume-removal.js';

const VOLUME = '6f9619ff-8b86-4d01-b42d-00cf4fc964ff' as VolumeUuid;

describe('the removal of volumes', () => {
  const setUp = (remove: () => Promise<void>) => {
    const confirmed: VolumeUuid[] = [];
    let told: () => void = () => undefined;
    const removal = new VolumeRemoval({
      remove,
      confirm: async (volumes) => (confirmed.push(...volumes), told()),
      logger: pino({ level: 'silent' }),
    });
    return { removal, confirmed, untilTold: () => new Promise<void>((resolve) => (told = resolve)) };
  };

  it('tells that a file is gone after it is gone, and is in hand only once', async () => {
    let finish: () => void = () => undefined;
    let removals = 0;
    const { removal, confirmed, untilTold } = setUp(() => (removals++, new Promise<void>((resolve) => (finish = resolve))));
    removal.asked([VOLUME]);
    removal.asked([VOLUME]);
    expect({ removals, confirmed }).toEqual({ removals: 1, confirmed: [] });
    const told = untilTold();
    finish();
    await told;
    expect(confirmed).toEqual([VOLUME]);
  });

  it('does not tell that a file is gone that could not be removed, and tries when it is asked again', async () => {
    let attempts = 0;
    const { removal, confirmed, untilTold } = setUp(async () => {
      if (++attempts === 1) throw new Error('busy');
    });
    removal.asked([VOLUME]);
    await new Promise(setImmediate);
    expect(confirmed).toEqual([]);
    const told = untilTold();
    removal.asked([VOLUME]);
    await told;
    expect({ attempts, confirmed }).toEqual({ attempts: 2, confirmed: [VOLUME] });
  });
});
