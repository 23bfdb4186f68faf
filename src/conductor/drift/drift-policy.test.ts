import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { VmUuid } from '../../protocol/ids.js';
import type { InventoryItem } from '../../protocol/node.js';
import type { DesiredPower } from '../../protocol/task.js';
import { deriveStatus, type Observed } from '../virtual-machines/vm-status.js';
import { CONVERGES, decide, driftOf, MOST_ATTEMPTS, POLICY, type DriftKind, type SettledVm } from './drift-policy.js';

const POWERS: readonly DesiredPower[] = ['running', 'stopped', 'hibernated', 'absent'];
const OBSERVED: readonly Observed[] = ['nothing', 'undone', 'building', 'running', 'stopped', 'hibernated', 'absent', 'failed'];

const vm = (change: Partial<SettledVm> = {}): SettledVm => ({ desiredPower: 'running', observed: 'running', hasGpu: false, ...change });
const item = (change: Partial<InventoryItem> = {}): InventoryItem => ({ vmUuid: 'a' as VmUuid, incarnationId: 1, state: 'running', ...change });

const vms = fc.record({ desiredPower: fc.constantFrom(...POWERS), observed: fc.constantFrom(...OBSERVED), hasGpu: fc.boolean() });
const flag = fc.option(fc.constant(true as const), { nil: undefined });
const items = fc
  .record({ state: fc.constantFrom('running' as const, 'stopped' as const, 'hibernated' as const), paused: flag, shutDown: flag, diskMissing: flag })
  .map(({ state, paused, shutDown, diskMissing }) =>
    item({ state, ...(paused && { paused }), ...(shutDown && { shutDown }), ...(diskMissing && { diskMissing }) }),
  );
const kinds = fc.constantFrom(...(Object.keys(POLICY) as DriftKind[]));
const seen = fc.record({ kind: kinds, attempts: fc.nat(10), nodeStopsVms: fc.boolean(), showOnly: fc.boolean() });

describe('drift', () => {
  it.each<[string, SettledVm, InventoryItem | undefined, DriftKind | undefined]>([
    ['runs as it shall', vm(), item(), undefined],
    ['was destroyed', vm(), item({ state: 'stopped' }), 'killed'],
    ['was saved by somebody else', vm(), item({ state: 'hibernated' }), 'killed'],
    ['was switched off by its guest while nobody listened', vm(), item({ state: 'stopped', shutDown: true }), 'shut-down'],
    ['was switched off by its guest long ago', vm({ observed: 'stopped' }), item({ state: 'stopped' }), undefined],
    ['was switched off by its guest and started by somebody', vm({ observed: 'stopped' }), item(), 'unreported'],
    ['is paused', vm(), item({ paused: true }), 'paused'],
    ['was undefined', vm(), undefined, 'missing-domain'],
    ['was undefined while it was off', vm({ desiredPower: 'stopped', observed: 'stopped' }), undefined, 'missing-domain'],
    ['is off, and its disk is gone', vm(), item({ state: 'stopped', diskMissing: true }), 'missing-disk'],
    ['runs on a disk without a name', vm(), item({ diskMissing: true }), 'unlinked-disk'],
    ['was started though it shall be off', vm({ desiredPower: 'stopped', observed: 'stopped' }), item(), 'started'],
    ['was started though it is hibernated', vm({ desiredPower: 'hibernated', observed: 'running' }), item(), 'started'],
    ['has lost its memory', vm({ desiredPower: 'hibernated', observed: 'hibernated' }), item({ state: 'stopped' }), 'memory-lost'],
    ['has GPUs, and is off in place of hibernated', vm({ desiredPower: 'hibernated', observed: 'hibernated', hasGpu: true }), item({ state: 'stopped' }), undefined],
    ['is in ERROR', vm({ observed: 'failed' }), undefined, undefined],
  ])('of a VM that %s', (_, known, there, kind) => {
    expect(driftOf(known, there)).toBe(kind);
  });

  it('is none where desire, report and inventory agree', () => {
    for (const state of ['running', 'stopped', 'hibernated'] as const)
      expect(driftOf(vm({ desiredPower: state, observed: state }), item({ state }))).toBeUndefined();
  });

  it('never starts what its owner wants off, what runs already, or what has no disk', () => {
    fc.assert(
      fc.property(vms, fc.option(items, { nil: undefined }), (known, there) => {
        const kind = driftOf(known, there);
        const action = kind && POLICY[kind].action;
        if (action === 'restart' || action === 'resume') expect(known.desiredPower).toBe('running');
        if (action === 'restart') expect(there!.state).not.toBe('running');
        if (action === 'resume') expect(there).toMatchObject({ state: 'running', paused: true });
        if (action === 'recreate') expect(there).toBeUndefined();
        if (there?.diskMissing && action) expect(['fail', 'report']).toContain(action);
        if (action === 'stop') expect(known.desiredPower).not.toBe('running');
      }),
    );
  });

  it('is over when what is done about it has worked', () => {
    fc.assert(
      fc.property(vms, items, (known, there) => {
        const kind = driftOf(known, there);
        if (kind === undefined) return;
        const { action } = POLICY[kind];
        if (CONVERGES[action])
          expect(driftOf({ ...known, observed: known.desiredPower }, item({ state: known.desiredPower as InventoryItem['state'] }))).toBeUndefined();
        if (action === 'adopt') expect(driftOf({ ...known, observed: there.state }, there)).toBeUndefined();
        if (action === 'fail') expect(deriveStatus({ ...known, operation: 'start', generation: 1, observedGeneration: 1, observed: 'failed' })).toBe('ERROR');
      }),
    );
  });

  it('of what is not ours, or not known, never yields an action', () => {
    fc.assert(
      fc.property(seen, (drift) => {
        for (const kind of ['foreign-domain', 'unknown-incarnation'] as const) expect(decide({ ...drift, kind })).toBe('report');
      }),
    );
  });

  it('is put right so often and no more', () => {
    fc.assert(
      fc.property(seen, (drift) => {
        const decision = decide({ ...drift, attempts: MOST_ATTEMPTS });
        expect(['give-up', 'report', 'wait', 'adopt']).toContain(decision);
      }),
    );
  });

  it('starts nothing on a node whose VMs are being stopped', () => {
    expect(decide({ kind: 'killed', attempts: 0, nodeStopsVms: true, showOnly: false })).toBe('wait');
    expect(decide({ kind: 'started', attempts: 0, nodeStopsVms: true, showOnly: false })).toBe('stop');
  });

  it('is only shown where the setting says so', () => {
    fc.assert(fc.property(seen, (drift) => expect(['report', 'adopt']).toContain(decide({ ...drift, showOnly: true }))));
  });
});
