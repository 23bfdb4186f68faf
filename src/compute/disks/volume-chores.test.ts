import { describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import type { VolumeUuid } from '../../protocol/ids.js';
import type { VolumePreparation } from '../../protocol/volume.js';
import { HypervisorError } from '../hypervisor/hypervisor.js';
import { VolumeChores } from './volume-chores.js';

const VOLUME = '6f9619ff-8b86-4d01-b42d-00cf4fc964ff' as VolumeUuid;
const PREPARATION: VolumePreparation = {
  uuid: VOLUME,
  sizeGib: 2,
  image: { name: 'tiny', disk: { url: '/tiny', sha256: 'a'.repeat(64), format: 'qcow2' } },
};

const setUp = (work: { remove?: () => Promise<void>; prepare?: () => Promise<void> }) => {
  const told: unknown[] = [];
  let wake: () => void = () => undefined;
  const tell = async (news: unknown): Promise<void> => (told.push(news), wake());
  const chores = new VolumeChores({
    remove: work.remove ?? (async () => undefined),
    prepare: work.prepare ?? (async () => undefined),
    confirmRemoved: tell,
    confirmPrepared: tell,
    logger: pino({ level: 'silent' }),
  });
  return { chores, told, untilTold: () => new Promise<void>((resolve) => (wake = resolve)) };
};

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('the removal of volumes', () => {
  it('tells that a file is gone after it is gone, and is in hand only once', async () => {
    let finish: () => void = () => undefined;
    let removals = 0;
    const { chores, told, untilTold } = setUp({ remove: () => (removals++, new Promise<void>((resolve) => (finish = resolve))) });
    chores.askedToRemove([VOLUME]);
    chores.askedToRemove([VOLUME]);
    expect({ removals, told }).toEqual({ removals: 1, told: [] });
    const heard = untilTold();
    finish();
    await heard;
    expect(told).toEqual([VOLUME]);
  });

  it('does not tell that a file is gone that could not be removed, and tries when it is asked again', async () => {
    let attempts = 0;
    const { chores, told, untilTold } = setUp({
      remove: async () => {
        if (++attempts === 1) throw new Error('busy');
      },
    });
    chores.askedToRemove([VOLUME]);
    await settled();
    expect(told).toEqual([]);
    const heard = untilTold();
    chores.askedToRemove([VOLUME]);
    await heard;
    expect({ attempts, told }).toEqual({ attempts: 2, told: [VOLUME] });
  });

  it('waits until a file that is being made is there, lest it be left behind', async () => {
    let finish: () => void = () => undefined;
    let removals = 0;
    const { chores } = setUp({
      prepare: () => new Promise<void>((resolve) => (finish = resolve)),
      remove: async () => void removals++,
    });
    chores.askedToPrepare([PREPARATION]);
    chores.askedToRemove([VOLUME]);
    expect(removals).toBe(0);
    finish();
    await settled();
    chores.askedToRemove([VOLUME]);
    await settled();
    expect(removals).toBe(1);
  });
});

describe('the making of volumes', () => {
  it('tells that one is there', async () => {
    const { chores, told } = setUp({});
    chores.askedToPrepare([PREPARATION]);
    await settled();
    expect(told).toEqual([{ uuid: VOLUME }]);
  });

  it('tells why one can never be there', async () => {
    const { chores, told } = setUp({ prepare: () => Promise.reject(new HypervisorError('The image is too large.', false)) });
    chores.askedToPrepare([PREPARATION]);
    await settled();
    expect(told).toEqual([{ uuid: VOLUME, fault: 'The image is too large.' }]);
  });

  it('tells nothing of what may pass', async () => {
    const { chores, told } = setUp({ prepare: () => Promise.reject(new HypervisorError('The conductor is away.', true)) });
    chores.askedToPrepare([PREPARATION]);
    await settled();
    expect(told).toEqual([]);
  });
});
