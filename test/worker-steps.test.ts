/**
 * P3: every step of a worker can be repeated and undone. Each call that a step of `ROADS` makes is refused, broken off,
 * cut by the death of the process, before its effect and after it, asked for twice, overtaken by a newer wish; and each
 * time the VM ends as it was wanted, or nothing of it is left, with reports that were true and no effect twice.
 *
 * The steps are those of the table: one that no case here reaches fails the last test.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import fc from 'fast-check';
import { pino } from 'pino';
import type { SnapshotUuid, VolumeUuid } from '../src/protocol/ids.js';
import type { VmSpec } from '../src/protocol/task.js';
import type { VmStatus } from '../src/conductor/virtual-machines/vm-status.js';
import { mayHappen, OneVm, type Call, type Effects, type Mishap, type OneVmOptions } from './support/one-vm.js';

let stepUnderWay = '';
const passed = new Set<string>();
jest.unstable_mockModule('../src/crash-points.js', () => ({
  crashPoint: (point: string) => {
    const [part, step] = point.split(':') as [string, string];
    if (part === 'converge') passed.add((stepUnderWay = step));
  },
}));
// A pause between two attempts proves nothing here.
jest.unstable_mockModule('../src/compute/retry.js', () => ({ pauseAfter: () => 0 }));
const { ROADS } = await import('../src/compute/tasks/converge.js');
const { TaskRunner } = await import('../src/compute/tasks/task-runner.js');

const VOLUME = { uuid: '00000000-0000-4000-8000-00000000000a' as VolumeUuid, sizeGib: 10 };
const GROWN = { ...VOLUME, sizeGib: 20 };
const OTHER = { uuid: '00000000-0000-4000-8000-00000000000b' as VolumeUuid, sizeGib: 5 };
const SNAPSHOT = { uuid: '00000000-0000-4000-8000-00000000000c' as SnapshotUuid };
const RULES = [{ direction: 'ingress', ethertype: 'IPv4', protocol: 'tcp', remoteIpPrefix: '0.0.0.0/0', portRangeMin: 80, portRangeMax: 80 }] as unknown as NonNullable<VmSpec['rules']>;

interface Case {
  readonly name: string;
  /** What its owner wanted one after the other before. */
  readonly before: readonly Partial<VmSpec>[];
  /** What somebody did beside Baton then. */
  readonly tampered?: Parameters<OneVm['hypervisor']['tamper']>[1];
  readonly wish: Partial<VmSpec>;
}

/** How it ends when nothing goes wrong. */
interface Calm {
  readonly calls: readonly Call[];
  readonly effects: Effects;
  readonly status: VmStatus;
}

const RUNNING: Partial<VmSpec> = { power: 'running' };
const STOPPED: Partial<VmSpec> = { power: 'stopped' };
const HIBERNATED: Partial<VmSpec> = { power: 'hibernated' };

const CASES: readonly Case[] = [
  { name: 'a first start', before: [], wish: { ...RUNNING, floatingIp: '198.51.100.7', rules: RULES } },
  { name: 'a first start of one that may be started elsewhere, with volumes', before: [], wish: { ...RUNNING, autoRecover: true, volumes: [VOLUME, OTHER] } },
  { name: 'a first start from a volume', before: [], wish: { ...RUNNING, diskGib: 0, rootVolume: VOLUME } },
  { name: 'the making of one that shall be off', before: [], wish: { ...STOPPED, volumes: [VOLUME] } },
  { name: 'a start', before: [RUNNING, STOPPED], wish: RUNNING },
  { name: 'a start with other volumes', before: [{ ...RUNNING, volumes: [VOLUME] }, STOPPED], wish: { ...RUNNING, volumes: [OTHER] } },
  { name: 'a stop', before: [RUNNING], wish: STOPPED },
  { name: 'a stop of one that is off', before: [RUNNING, STOPPED], wish: { ...STOPPED, floatingIp: '198.51.100.8' } },
  { name: 'a hibernation', before: [RUNNING], wish: HIBERNATED },
  { name: 'a hibernation of what is gone', before: [], wish: HIBERNATED },
  { name: 'a restoration', before: [RUNNING, HIBERNATED], wish: RUNNING },
  { name: 'a restoration with a floating address', before: [{ ...RUNNING, autoRecover: true }, HIBERNATED], wish: { ...RUNNING, floatingIp: '198.51.100.9' } },
  { name: 'a stop of one that is hibernated', before: [RUNNING, HIBERNATED], wish: STOPPED },
  { name: 'a hard reboot', before: [RUNNING], wish: { ...RUNNING, resets: 1 } },
  { name: 'another size for one that runs', before: [RUNNING], wish: { ...RUNNING, vcpus: 8, memoryMib: 4096, resizes: 1 } },
  { name: 'another size for one that is off', before: [RUNNING, STOPPED], wish: { ...STOPPED, vcpus: 8, resizes: 1 } },
  { name: 'volumes for one that runs', before: [{ ...RUNNING, volumes: [VOLUME] }], wish: { ...RUNNING, volumes: [GROWN, OTHER] } },
  { name: 'the detachment of all volumes', before: [{ ...RUNNING, volumes: [VOLUME, OTHER] }], wish: { ...RUNNING, volumes: [] } },
  { name: 'volumes for one that is off', before: [RUNNING, STOPPED], wish: { ...STOPPED, volumes: [VOLUME] } },
  { name: 'other rules and another address', before: [{ ...RUNNING, floatingIp: '198.51.100.7' }], wish: { ...RUNNING, floatingIp: undefined, rules: RULES } as never },
  { name: 'a snapshot of one that runs', before: [RUNNING], wish: { ...RUNNING, snapshot: SNAPSHOT } },
  { name: 'a snapshot of one that is off', before: [RUNNING, STOPPED], wish: { ...STOPPED, snapshot: SNAPSHOT } },
  { name: 'one that was paused beside Baton', before: [RUNNING], tampered: { paused: true }, wish: RUNNING },
  { name: 'one that was switched off beside Baton', before: [RUNNING], tampered: { state: 'stopped' }, wish: RUNNING },
  { name: 'one whose domain was removed beside Baton', before: [RUNNING], tampered: { state: 'stopped', undefined: true }, wish: RUNNING },
  { name: 'a deletion', before: [{ ...RUNNING, volumes: [VOLUME], snapshot: SNAPSHOT }], wish: { power: 'absent' } },
  { name: 'a deletion of one that is off', before: [RUNNING, STOPPED], wish: { power: 'absent' } },
  { name: 'a deletion of one that is hibernated', before: [RUNNING, HIBERNATED], wish: { power: 'absent' } },
  { name: 'a deletion before anything was made', before: [], wish: { power: 'absent' } },
];

const MISHAPS: readonly Mishap[] = [
  'refused before', 'refused after', 'busy before', 'busy after', 'broken before', 'broken after', 'crash before', 'crash after',
  'session over', 'delivered twice',
];
const NEWS: readonly Mishap[] = ['ended elsewhere', 'overtaken by running', 'overtaken by stopped', 'overtaken by hibernated', 'overtaken by absent'];

const mishapsAt = ({ name }: Call, { power }: Partial<VmSpec>): readonly Mishap[] =>
  [...MISHAPS, ...NEWS].filter(
    // Nobody wishes for anything of a VM that shall be deleted.
    (mishap) => mayHappen(mishap, name) && (power !== 'absent' || !/^overtaken by (running|stopped|hibernated)/.test(mishap)),
  );

/** After these the wish is the same, and so must be its effects. */
const changesTheEnd = (mishap: Mishap): boolean => /^(refused|ended|overtaken)/.test(mishap);

describe('a worker at every step of a task', () => {
  let folder: string;
  let options: OneVmOptions;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'baton-worker-steps-'));
    const logger = pino({ level: 'silent' });
    options = { folder, stepUnderWay: () => stepUnderWay, makeRunner: (ports) => new TaskRunner({ ...ports, logger }) };
  });

  afterAll(async () => await rm(folder, { recursive: true }));

  async function live<Result>(what: (one: OneVm) => Promise<Result>): Promise<Result> {
    const one = await OneVm.begin(options);
    try {
      return await what(one);
    } finally {
      await one.close();
    }
  }

  async function prepare(one: OneVm, { before, tampered }: Case): Promise<void> {
    for (const wish of before) {
      one.wish(wish);
      await one.settle();
    }
    if (tampered) await one.hypervisor.tamper(one.identity, tampered);
    one.forgetEffects();
  }

  /** What it comes to when nothing goes wrong. */
  const undisturbed = (of: Case): Promise<Calm> =>
    live(async (one) => {
      await prepare(one, of);
      one.wish(of.wish);
      await one.settle();
      endsRight(one);
      return { calls: [...one.calls], effects: { ...one.effects }, status: one.vm.status };
    });

  /** As it was wanted last, or nothing left. */
  function endsRight(one: OneVm): void {
    expect(one.lies).toEqual([]);
    const { spec, generation } = one.wanted;
    const { vm, domain } = one;
    if (vm.ended || vm.observed === 'absent') {
      expect(domain).toBeUndefined();
      return;
    }
    expect(vm).toMatchObject({ observed: spec.power, observedGeneration: generation });
    expect(domain).toMatchObject({ state: spec.power, resets: spec.power === 'running' ? (spec.resets ?? 0) : expect.any(Number) });
    expect(domain?.paused).toBeUndefined();
    if (spec.power === 'hibernated') return;
    const { vcpus, memoryMib, floatingIp, rules, volumes, rootVolume } = spec;
    const { hardware } = domain!;
    expect({ floatingIp: hardware?.floatingIp, rules: hardware?.rules }).toEqual({ floatingIp, rules });
    if (spec.resizes) expect(hardware).toMatchObject({ vcpus, memoryMib });
    expect(domain!.volumes ?? []).toEqual([...(rootVolume ? [rootVolume] : []), ...(volumes ?? [])].map(({ uuid }) => uuid));
    if (spec.snapshot && vm.snapshot && 'sizeBytes' in vm.snapshot) expect(one.snapshotsTaken).toBe(1);
  }

  async function leavesNothingWhenDeleted(one: OneVm): Promise<void> {
    for (let times = 0; times < 2; times++) {
      one.wish({ power: 'absent' });
      await one.settle();
      expect(await one.hypervisor.inventory()).toEqual([]);
      await one.hypervisor.removeVolume(VOLUME.uuid);
      await one.hypervisor.removeVolume(OTHER.uuid);
    }
    expect(one.vm.ended).toBe(true);
    expect(one.lies).toEqual([]);
  }

  /** One that could not be made so is told of, is left with what it had, and can be made so later. */
  async function recovers(one: OneVm): Promise<void> {
    if (one.vm.ended) return;
    if (one.vm.status === 'ERROR') {
      expect(one.vm.fault).not.toBeNull();
      one.wish({});
      await one.settle();
    }
  }

  async function goesWrong(of: Case, calm: Calm, number: number, mishap: Mishap): Promise<void> {
    await live(async (one) => {
      await prepare(one, of);
      const { hasRun } = one.vm;
      one.wish(of.wish);
      await one.settle(new Map([[number, mishap]]));
      if (!changesTheEnd(mishap)) {
        // Whatever is asked for twice happens once.
        expect(one.effects).toEqual(calm.effects);
        expect(one.vm.status).toBe(calm.status);
      }
      if (hasRun && !one.vm.ended && one.vm.desiredPower !== 'absent') expect(one.effects.removals).toBe(0);
      await recovers(one);
      endsRight(one);
      await leavesNothingWhenDeleted(one);
    });
  }

  it.each(CASES.map((of) => [of.name, of] as const))('ends %s right, whatever happens at whichever call', async (_name, of) => {
    const calm = await undisturbed(of);
    const wrong: string[] = [];
    for (const [number, call] of calm.calls.entries())
      for (const mishap of mishapsAt(call, of.wish))
        await goesWrong(of, calm, number, mishap).catch((error: Error) =>
          wrong.push(`${call.step}, ${call.name} ${mishap}: ${error.message.replaceAll(/\s+/g, ' ').slice(0, 300)}`),
        );
    expect(wrong).toEqual([]);
  }, 60_000);

  const someMishaps = fc.array(
    fc.tuple(fc.nat(15), fc.constantFrom(...MISHAPS)), { maxLength: 4 },
  );
  const someWishes = fc.array(fc.tuple(fc.constantFrom(...CASES.map(({ wish }) => wish).filter(({ power }) => power !== 'absent')), someMishaps), { minLength: 1, maxLength: 6 });

  it('ends right after any wishes, each with any mishaps', async () => {
    await fc.assert(
      fc.asyncProperty(someWishes, (wishes) =>
        live(async (one) => {
          for (const [wish, mishaps] of wishes) {
            if (one.vm.ended) break;
            one.forgetEffects();
            const { hasRun } = one.vm;
            const { resizes = 0, resets = 0 } = one.wanted.spec;
            // Each is one more than there were.
            one.wish({ ...wish, resizes: resizes + (wish.resizes ?? 0), resets: resets + (wish.resets ?? 0) });
            await one.settle(new Map(mishaps));
            if (hasRun) expect(one.effects.removals).toBe(0);
          }
          await recovers(one);
          // Left by a process that died before it could undo it: the inventory shows it, and drift has it removed.
          if (one.vm.ended && one.domain) {
            one.wish({});
            await one.settle();
          }
          endsRight(one);
          await leavesNothingWhenDeleted(one);
        }),
      ),
      { numRuns: 300 },
    );
  }, 60_000);

  it('has gone through every step of every road', () => {
    const steps = [...new Set(Object.values(ROADS).flat().map(({ name }) => name))];
    expect(steps.filter((step) => !passed.has(step))).toEqual([]);
  });
});
