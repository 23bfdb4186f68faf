/**
 * The status that a user sees: a pure function of what is desired and what was last observed. The API writes the one,
 * reports write the other, and nobody writes the status by hand.
 *
 * A VM is settled when the last report speaks of the latest desire; then only the two states count. Before, it is on
 * its way, and what it is on its way to is told by the operation that was asked for.
 */
import type { ObservedState } from '../../protocol/report.js';
import type { DesiredPower } from '../../protocol/task.js';

/** `nothing`: no report yet. */
export type Observed = 'nothing' | ObservedState;

/** What was last asked of the VM. */
export type Operation = 'create' | 'start' | 'stop' | 'hard-reboot' | 'delete';

export type VmStatus =
  | 'CREATING'
  | 'BUILD'
  | 'ACTIVE'
  | 'STARTING'
  | 'STOPPING'
  | 'REBOOTING'
  | 'SHUTOFF'
  | 'ERROR'
  | 'DELETING'
  | 'DELETED';

/** desired power × observed state. */
const SETTLED: Readonly<Record<DesiredPower, Readonly<Record<Observed, VmStatus>>>> = {
  running: {
    nothing: 'CREATING',
    building: 'BUILD',
    running: 'ACTIVE',
    // The guest switched itself off.
    stopped: 'SHUTOFF',
    absent: 'ERROR',
    failed: 'ERROR',
  },
  stopped: {
    nothing: 'CREATING',
    building: 'BUILD',
    running: 'ACTIVE',
    stopped: 'SHUTOFF',
    absent: 'ERROR',
    failed: 'ERROR',
  },
  absent: {
    nothing: 'DELETING',
    building: 'DELETING',
    running: 'DELETING',
    stopped: 'DELETING',
    absent: 'DELETED',
    // A removal that failed is shown; deleting again tries again.
    failed: 'ERROR',
  },
};

/** A creation is on its way through what is observed: CREATING, then BUILD. */
const UNDER_WAY: Readonly<Record<Exclude<Operation, 'create'>, VmStatus>> = {
  start: 'STARTING',
  stop: 'STOPPING',
  'hard-reboot': 'REBOOTING',
  delete: 'DELETING',
};

export interface StatusInput {
  readonly desiredPower: DesiredPower;
  readonly operation: Operation;
  readonly generation: number;
  readonly observed: Observed;
  readonly observedGeneration: number;
}

export function deriveStatus(vm: StatusInput): VmStatus {
  const settled = vm.observedGeneration >= vm.generation;
  return settled || vm.operation === 'create' ? SETTLED[vm.desiredPower][vm.observed] : UNDER_WAY[vm.operation];
}

/** Infrahub's `power_state` and `vm_state` beside the status; null before the VM first ran. */
export function powerAndVmState(observed: Observed): { power_state: string | null; vm_state: string | null } {
  switch (observed) {
    case 'running':
      return { power_state: 'RUNNING', vm_state: 'active' };
    case 'stopped':
      return { power_state: 'SHUTDOWN', vm_state: 'stopped' };
    case 'failed':
      return { power_state: 'NOSTATE', vm_state: 'error' };
    case 'nothing':
    case 'building':
    case 'absent':
      return { power_state: null, vm_state: null };
  }
}

/** What a user can ask of a VM that is there. */
export type VmAction = Exclude<Operation, 'create'>;

interface ActionRule {
  /** In all other states it is refused with 400. */
  readonly allowedIn: readonly VmStatus[];
  readonly desiredPower: DesiredPower;
}

/** As Infrahub has it, and deleting at any time but while the VM is being made; again what is on its way out is no error. */
export const ACTIONS: Readonly<Record<VmAction, ActionRule>> = {
  start: { allowedIn: ['SHUTOFF'], desiredPower: 'running' },
  stop: { allowedIn: ['ACTIVE', 'ERROR'], desiredPower: 'stopped' },
  'hard-reboot': { allowedIn: ['ACTIVE', 'ERROR'], desiredPower: 'running' },
  delete: {
    allowedIn: ['ACTIVE', 'SHUTOFF', 'ERROR', 'STARTING', 'STOPPING', 'REBOOTING', 'DELETING'],
    desiredPower: 'absent',
  },
};

/** @param placed whether it has a place on a node; without one, it can only be deleted. */
export const isAllowed = (action: VmAction, status: VmStatus, placed: boolean): boolean =>
  ACTIONS[action].allowedIn.includes(status) && (placed || action === 'delete');

export const allowedActions = (status: VmStatus, placed: boolean): VmAction[] =>
  (Object.keys(ACTIONS) as VmAction[]).filter((action) => isAllowed(action, status, placed));
