import { describe, expect, it } from '@jest/globals';
import { CoalescedWork } from './coalesced-work.js';

describe('coalesced work', () => {
  it('never runs twice at once, and once more for whatever was asked meanwhile', async () => {
    let running = 0;
    let most = 0;
    let runs = 0;
    const work = new CoalescedWork(async () => {
      most = Math.max(most, (running += 1));
      await new Promise((resolve) => setImmediate(resolve));
      running -= 1;
      runs += 1;
    });
    work.request();
    work.request();
    work.request();
    await work.settled();
    expect({ most, runs }).toEqual({ most: 1, runs: 2 });
  });

  it('runs again when it is asked in the moment it ends', async () => {
    let runs = 0;
    const work = new CoalescedWork(async () => void (runs += 1));
    work.request();
    const settled = work.settled();
    await settled;
    work.request();
    await work.settled();
    expect(runs).toBe(2);
  });
});
