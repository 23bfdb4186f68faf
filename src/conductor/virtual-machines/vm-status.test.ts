import { describe, expect, it } from '@jest/globals';
import type { DesiredPower } from '../../protocol/task.js';
import { ACTIONS, allowedActions, deriveStatus, desiredPowerFor, powerAndVmState, type Observed, type Operation, type VmAction, type VmStatus } from './vm-status.js';

const DESIRED: readonly DesiredPower[] = ['running', 'stopped', 'hibernated', 'absent'];
const OBSERVED: readonly Observed[] = ['nothing', 'undone', 'building', 'running', 'stopped', 'hibernated', 'absent', 'failed'];
const OPERATIONS: readonly Operation[] = ['create', 'start', 'stop', 'hard-reboot', 'hibernate', 'hibernate-restore', 'resize', 'delete'];
const STATUSES: readonly VmStatus[] = [
  'CREATING', 'BUILD', 'ACTIVE', 'STARTING', 'STOPPING', 'REBOOTING', 'HIBERNATING', 'HIBERNATED',
  'RESTORING', 'RESIZING', 'SHUTOFF', 'ERROR', 'DELETING', 'DELETED',
];

const settled = (desiredPower: DesiredPower, observed: Observed, operation: Operation): VmStatus =>
  deriveStatus({ desiredPower, operation, generation: 2, observed, observedGeneration: 2 });

const underWay = (desiredPower: DesiredPower, observed: Observed, operation: Operation): VmStatus =>
  deriveStatus({ desiredPower, operation, generation: 2, observed, observedGeneration: 1 });

describe('the status of a VM', () => {
  it.each<[DesiredPower, Observed, VmStatus]>([
    ['running', 'nothing', 'CREATING'],
    ['running', 'undone', 'BUILD'],
    ['running', 'building', 'BUILD'],
    ['running', 'running', 'ACTIVE'],
    ['running', 'stopped', 'SHUTOFF'],
    ['running', 'absent', 'ERROR'],
    ['running', 'failed', 'ERROR'],
    ['stopped', 'running', 'ACTIVE'],
    ['stopped', 'stopped', 'SHUTOFF'],
    ['stopped', 'absent', 'ERROR'],
    ['stopped', 'failed', 'ERROR'],
    ['running', 'hibernated', 'HIBERNATED'],
    ['hibernated', 'hibernated', 'HIBERNATED'],
    ['hibernated', 'running', 'ACTIVE'],
    ['hibernated', 'stopped', 'SHUTOFF'],
    ['hibernated', 'absent', 'ERROR'],
    ['hibernated', 'failed', 'ERROR'],
    ['absent', 'hibernated', 'DELETING'],
    ['absent', 'running', 'DELETING'],
    ['absent', 'stopped', 'DELETING'],
    ['absent', 'absent', 'DELETED'],
    ['absent', 'failed', 'ERROR'],
  ])('that shall be %s and was seen %s is %s, whatever was asked for', (desired, seen, status) => {
    for (const operation of OPERATIONS) expect(settled(desired, seen, operation)).toBe(status);
  });

  it.each<[Operation, VmStatus]>([
    ['start', 'STARTING'],
    ['stop', 'STOPPING'],
    ['hard-reboot', 'REBOOTING'],
    ['hibernate', 'HIBERNATING'],
    ['hibernate-restore', 'RESTORING'],
    ['resize', 'RESIZING'],
    ['delete', 'DELETING'],
  ])('on its way after %s is %s, whatever was seen before', (operation, status) => {
    for (const observed of OBSERVED) expect(underWay('running', observed, operation)).toBe(status);
  });

  it('that is being created follows what is seen', () => {
    expect(underWay('running', 'nothing', 'create')).toBe('CREATING');
    expect(underWay('running', 'building', 'create')).toBe('BUILD');
  });

  it('can be each of those that there are, and none beside', () => {
    const reached = DESIRED.flatMap((desired) =>
      OBSERVED.flatMap((observed) =>
        OPERATIONS.flatMap((operation) => [settled(desired, observed, operation), underWay(desired, observed, operation)]),
      ),
    );
    expect([...new Set(reached)].sort()).toEqual([...STATUSES].sort());
  });

  it('is never again what a user could use, once it shall be absent', () => {
    for (const observed of OBSERVED)
      for (const status of [settled('absent', observed, 'delete'), underWay('absent', observed, 'delete')])
        expect(['DELETING', 'DELETED', 'ERROR']).toContain(status);
  });
});

describe('what can be asked of a VM', () => {
  it.each<[VmStatus, readonly string[]]>([
    ['CREATING', []],
    ['BUILD', []],
    ['ACTIVE', ['stop', 'hard-reboot', 'hibernate', 'resize', 'delete']],
    ['STARTING', ['delete']],
    ['STOPPING', ['delete']],
    ['REBOOTING', ['delete']],
    ['HIBERNATING', ['delete']],
    ['HIBERNATED', ['hibernate-restore', 'delete']],
    ['RESTORING', ['delete']],
    ['RESIZING', ['delete']],
    ['SHUTOFF', ['start', 'resize', 'delete']],
    ['ERROR', ['stop', 'hard-reboot', 'delete']],
    ['DELETING', ['delete']],
    ['DELETED', []],
  ])('that is %s is %j', (status, actions) => {
    expect(allowedActions(status, true)).toEqual(actions);
  });

  it('that has no place on a node is to delete it, and nothing else', () => {
    expect(allowedActions('ERROR', false)).toEqual(['delete']);
  });

  it('leaves a VM that is off switched off while it gets another flavor', () => {
    expect(desiredPowerFor('resize', 'SHUTOFF')).toBe('stopped');
    expect(desiredPowerFor('resize', 'ACTIVE')).toBe('running');
  });

  it('does not show while the network of a VM is changed', () => {
    expect(underWay('running', 'running', 'update')).toBe('ACTIVE');
    expect(underWay('stopped', 'stopped', 'update')).toBe('SHUTOFF');
    expect(underWay('running', 'failed', 'update')).toBe('ERROR');
  });

  it('leads to another state than those in which it is asked for', () => {
    for (const [action, { allowedIn }] of Object.entries(ACTIONS)) {
      const status = underWay(desiredPowerFor(action as VmAction, allowedIn[0]!), 'running', action as Operation);
      expect(allowedIn.filter((from) => from === status && from !== 'DELETING')).toEqual([]);
    }
  });
});

describe('power_state and vm_state', () => {
  it.each<[Observed, string | null, string | null]>([
    ['nothing', null, null],
    ['building', null, null],
    ['running', 'RUNNING', 'active'],
    ['stopped', 'SHUTDOWN', 'stopped'],
    ['hibernated', 'HIBERNATED', 'hibernated'],
    ['absent', null, null],
    ['failed', 'NOSTATE', 'error'],
  ])('of a VM that was seen %s are %s and %s', (observed, power_state, vm_state) => {
    expect(powerAndVmState(observed)).toEqual({ power_state, vm_state });
  });
});
