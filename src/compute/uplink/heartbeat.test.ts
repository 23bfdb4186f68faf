import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import type { SnapshotUuid, VmUuid } from '../../protocol/ids.js';
import type { ForeignDomain, Heartbeat, InventoryItem } from '../../protocol/node.js';
import { ConductorRefusal, ConductorUnreachable } from './conductor-client.js';
import { HeartbeatLoop } from './heartbeat.js';

describe('the heartbeat', () => {
  const domain = (): InventoryItem => ({ vmUuid: randomUUID() as VmUuid, incarnationId: 1, state: 'running' });
  let loop: HeartbeatLoop;
  let inventory: () => Promise<readonly InventoryItem[]>;
  let snapshots: SnapshotUuid[];
  let foreign: readonly ForeignDomain[];
  let sequence: number;
  let answer: (beat: Heartbeat) => Promise<void>;
  let beats: Heartbeat[];
  let evictions: Error[];
  let problems: string[];
  let wake: () => void;

  beforeEach(() => {
    beats = [];
    evictions = [];
    problems = [];
    wake = () => undefined;
    inventory = async () => [];
    snapshots = [];
    foreign = [];
    sequence = 1;
    answer = async () => undefined;
    const stream = { write: (line: string) => (problems.push((JSON.parse(line) as { problem: string }).problem), wake()) };
    loop = new HeartbeatLoop({
      session: 5,
      nodeName: 'node-1',
      everySeconds: 0.005,
      timeLimitMs: 100,
      inventory: async () => ({ domains: await inventory(), foreign, sequence }),
      snapshots: async () => snapshots,
      send: async (beat) => {
        beats.push(beat);
        wake();
        await answer(beat);
      },
      logger: pino({ level: 'error' }, stream),
      onEvicted: (reason) => (evictions.push(reason), wake()),
    });
  });

  afterEach(async () => await loop.stop());

  async function until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => (wake = resolve));
  }

  it('tells the inventory once, and then its digest alone', async () => {
    const domains = [domain(), domain()];
    let turn = 0;
    // Listed in another order each time, as a hypervisor may.
    inventory = async () => (turn++ % 2 ? domains : [...domains].reverse());
    loop.start();
    await until(() => beats.length >= 3);
    expect(beats[0]!.session).toBe(5);
    expect([...beats[0]!.inventory!].map(({ vmUuid }) => vmUuid).sort()).toEqual(domains.map(({ vmUuid }) => vmUuid).sort());
    expect(beats[1]).toEqual({ session: 5, inventoryDigest: beats[0]!.inventoryDigest, sequence: 1 });
    expect(beats[2]).toEqual(beats[1]);
  });

  it('tells of the snapshots on the node when they are others than before', async () => {
    loop.start();
    await until(() => beats.length >= 2);
    const uuid = randomUUID() as SnapshotUuid;
    snapshots = [uuid];
    await until(() => beats.some((beat) => beat.snapshots?.length === 1));
    expect(beats[0]!.snapshots).toEqual([]);
    expect(beats.findLast((beat) => beat.snapshots !== undefined)!.snapshots).toEqual([uuid]);
  });

  it('tells the inventory again when it has changed', async () => {
    loop.start();
    await until(() => beats.length >= 2);
    const added = domain();
    inventory = async () => [added];
    await until(() => beats.some(({ inventory: told }) => told?.length === 1));
  });

  it('tells the inventory again when there is something about a domain beside its state', async () => {
    const stopped = { ...domain(), state: 'stopped' as const };
    inventory = async () => [stopped];
    loop.start();
    await until(() => beats.length >= 2);
    inventory = async () => [{ ...stopped, diskMissing: true }];
    await until(() => beats.some(({ inventory: told }) => told?.[0]?.diskMissing === true));
  });

  it('tells of foreign domains with the inventory, again when they have changed', async () => {
    loop.start();
    await until(() => beats.length >= 2);
    foreign = [{ uuid: randomUUID(), name: 'somebody-else' }];
    await until(() => beats.some(({ foreign: told }) => told?.length === 1));
  });

  it('says each time after which report its inventory was taken', async () => {
    loop.start();
    await until(() => beats.length >= 2);
    sequence = 7;
    await until(() => beats.at(-1)!.sequence === 7);
    expect(beats.at(-1)!.inventory).toBeUndefined();
  });

  it('goes on telling the inventory until a beat is answered', async () => {
    answer = async () => {
      if (beats.length < 3) throw new ConductorUnreachable('no');
    };
    loop.start();
    await until(() => beats.length >= 4);
    expect(beats.slice(0, 4).map((beat) => beat.inventory !== undefined)).toEqual([true, true, true, false]);
  });

  it('says so when the hypervisor hangs, sends nothing meanwhile, and recovers by itself', async () => {
    let recover: (domains: readonly InventoryItem[]) => void = () => undefined;
    let asked = 0;
    inventory = () => (asked++, new Promise((resolve) => (recover = resolve)));
    loop.start();
    await until(() => problems.length >= 2);
    expect(problems[0]).toContain('the hypervisor has not listed its domains for 0.1 s');
    expect([asked, beats.length]).toEqual([1, 0]);
    inventory = async () => [];
    recover([]);
    await until(() => beats.length >= 1);
  });

  it.each([
    [409, "Another worker has registered as 'node-1'"],
    [401, "The conductor no longer knows the key of node 'node-1'"],
  ])('ends the worker when the conductor answers %i', async (status, words) => {
    answer = () => Promise.reject(new ConductorRefusal(status, 'no'));
    loop.start();
    await until(() => evictions.length > 0);
    expect(evictions[0]!.message).toContain(words);
    await loop.stop();
    expect(beats).toHaveLength(1);
  });
});
