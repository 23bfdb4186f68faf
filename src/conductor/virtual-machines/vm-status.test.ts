import { describe, expect, it } from '@jest/globals';
import type { DesiredPower } from '../../protocol/task.js';
import { allowedActions, deriveStatus, isAllowed, powerAndVmState, type Observed, type VmStatus } from './vm-status.js';

const DESIRED: readonly DesiredPower[] = ['running', 'stopped', 'absent'];
const OBSERVED: readonly Observed[] = ['nothing', 'building', 'running', 'stopped', 'absent', 'failed'];
const STATUSES: readonly VmStatus[] = [
  'CREATING', 'BUILD', 'ACTIVE', 'STARTING', 'STOPPING', 'SHUTOFF', 'ERROR', 'DELETING', 'DELETED',
];

const status = (desiredPower: DesiredPower, observed: Observed, settled: boolean): VmStatus =>
  deriveStatus({ desiredPower, generation: 2, observed, observedGeneration: settled ? 2 : 1 });

describe('the status of a VM', () => {
  it.each<[DesiredPower, Observed, VmStatus, VmStatus]>([
    // desired, observed, settled, under way
    ['running', 'nothing', 'CREATING', 'CREATING'],
    ['running', 'building', 'BUILD', 'BUILD'],
    ['running', 'running', 'ACTIVE', 'ACTIVE'],
    ['running', 'stopped', 'SHUTOFF', 'STARTING'],
    ['running', 'absent', 'ERROR', 'BUILD'],
    ['running', 'failed', 'ERROR', 'STARTING'],
    ['stopped', 'nothing', 'CREATING', 'CREATING'],
    ['stopped', 'building', 'BUILD', 'BUILD'],
    ['stopped', 'running', 'ACTIVE', 'STOPPING'],
    ['stopped', 'stopped', 'SHUTOFF', 'SHUTOFF'],
    ['stopped', 'absent', 'ERROR', 'STOPPING'],
    ['stopped', 'failed', 'ERROR', 'STOPPING'],
    ['absent', 'nothing', 'DELETING', 'DELETING'],
    ['absent', 'building', 'DELETING', 'DELETING'],
    ['absent', 'running', 'DELETING', 'DELETING'],
    ['absent', 'stopped', 'DELETING', 'DELETING'],
    ['absent', 'absent', 'DELETED', 'DELETING'],
    ['absent', 'failed', 'ERROR', 'DELETING'],
  ])('that shall be %s and was seen %s is %s, or %s before the report speaks of the wish', (desired, seen, settled, underWay) => {
    expect([status(desired, seen, true), status(desired, seen, false)]).toEqual([settled, underWay]);
  });

  it('can be each of those that there are, and none beside', () => {
    const reached = DESIRED.flatMap((desired) =>
      OBSERVED.flatMap((observed) => [status(desired, observed, true), status(desired, observed, false)]),
    );
    expect([...new Set(reached)].sort()).toEqual([...STATUSES].sort());
  });

  it('is never again what a user could use, once it shall be absent', () => {
    for (const observed of OBSERVED)
      for (const settled of [true, false]) expect(['DELETING', 'DELETED', 'ERROR']).toContain(status('absent', observed, settled));
  });
});

describe('deleting', () => {
  it.each<[VmStatus, boolean]>([
    ['CREATING', false],
    ['BUILD', false],
    ['ACTIVE', true],
    ['STARTING', true],
    ['STOPPING', true],
    ['SHUTOFF', true],
    ['ERROR', true],
    ['DELETING', true],
    ['DELETED', false],
  ])('a VM that is %s is allowed: %p', (current, allowed) => {
    expect(isAllowed('delete', current)).toBe(allowed);
    expect(allowedActions(current)).toEqual(allowed ? ['delete'] : []);
  });
});

describe('power_state and vm_state', () => {
  it.each<[Observed, string | null, string | null]>([
    ['nothing', null, null],
    ['building', null, null],
    ['running', 'RUNNING', 'active'],
    ['stopped', 'SHUTDOWN', 'stopped'],
    ['absent', null, null],
    ['failed', 'NOSTATE', 'error'],
  ])('of a VM that was seen %s are %s and %s', (observed, power_state, vm_state) => {
    expect(powerAndVmState(observed)).toEqual({ power_state, vm_state });
  });
});
