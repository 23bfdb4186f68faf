/**
 * The status that a user sees: a pure function of what is desired and what was last observed. The API writes the one,
 * reports write the other, and nobody writes the status by hand.
 *
 * A VM is settled when the last report speaks of the latest desire; then only the two states count. Before, it is on
 * its way, and what it is on its way to is told by the operation that was asked for.
 */
import type { ObservedState } from '../../protocol/report.js';
import type { DesiredPower } from '../../protocol/task.js';

/**
 * `nothing`: no report yet. `undone`: the first start failed on its node and what was made of it is gone; another node
 * is being looked for (`vm-replacement.ts`).
 */
export type Observed = 'nothing' | 'undone' | ObservedState;

/** What was last asked of the VM; `update`: a change of its network or devices, which shows in no status. */
export type Operation = 'create' | 'start' | 'stop' | 'hard-reboot' | 'hibernate' | 'hibernate-restore' | 'resize' | 'update' | 'delete';

export type VmStatus =
  | 'CREATING'
  | 'BUILD'
  | 'ACTIVE'
  | 'STARTING'
  | 'STOPPING'
  | 'REBOOTING'
  | 'HIBERNATING'
  | 'HIBERNATED'
  | 'RESTORING'
  | 'RESIZING'
  | 'SHUTOFF'
  | 'ERROR'
  | 'DELETING'
  | 'DELETED';

/** desired power × observed state. */
const SETTLED: Readonly<Record<DesiredPower, Readonly<Record<Observed, VmStatus>>>> = {
  running: {
    nothing: 'CREATING',
    undone: 'BUILD',
    building: 'BUILD',
    running: 'ACTIVE',
    // The guest switched itself off.
    stopped: 'SHUTOFF',
    hibernated: 'HIBERNATED',
    absent: 'ERROR',
    failed: 'ERROR',
  },
  stopped: {
    nothing: 'CREATING',
    undone: 'BUILD',
    building: 'BUILD',
    running: 'ACTIVE',
    stopped: 'SHUTOFF',
    hibernated: 'HIBERNATED',
    absent: 'ERROR',
    failed: 'ERROR',
  },
  hibernated: {
    nothing: 'CREATING',
    undone: 'BUILD',
    building: 'BUILD',
    // Somebody started it on its node.
    running: 'ACTIVE',
    stopped: 'SHUTOFF',
    hibernated: 'HIBERNATED',
    absent: 'ERROR',
    failed: 'ERROR',
  },
  absent: {
    nothing: 'DELETING',
    undone: 'DELETING',
    building: 'DELETING',
    running: 'DELETING',
    stopped: 'DELETING',
    hibernated: 'DELETING',
    absent: 'DELETED',
    // A removal that failed is shown; deleting again tries again.
    failed: 'ERROR',
  },
};

/** A creation is on its way through what is observed: CREATING, then BUILD. */
const UNDER_WAY: Readonly<Record<Exclude<Operation, 'create' | 'update'>, VmStatus>> = {
  start: 'STARTING',
  stop: 'STOPPING',
  'hard-reboot': 'REBOOTING',
  hibernate: 'HIBERNATING',
  'hibernate-restore': 'RESTORING',
  resize: 'RESIZING',
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
  const unshown = vm.operation === 'create' || vm.operation === 'update';
  return settled || unshown ? SETTLED[vm.desiredPower][vm.observed] : UNDER_WAY[vm.operation as keyof typeof UNDER_WAY];
}

/**
 * Infrahub's `power_state` and `vm_state` beside the status; null before the VM first ran. `unknown`: its node is not
 * heard, so the status tells what was last seen.
 */
export function powerAndVmState(observed: Observed | 'unknown'): { power_state: string | null; vm_state: string | null } {
  switch (observed) {
    case 'unknown':
      return { power_state: 'UNKNOWN', vm_state: 'unknown' };
    case 'running':
      return { power_state: 'RUNNING', vm_state: 'active' };
    case 'stopped':
      return { power_state: 'SHUTDOWN', vm_state: 'stopped' };
    case 'hibernated':
      return { power_state: 'HIBERNATED', vm_state: 'hibernated' };
    case 'failed':
      return { power_state: 'NOSTATE', vm_state: 'error' };
    case 'nothing':
    case 'undone':
    case 'building':
    case 'absent':
      return { power_state: null, vm_state: null };
  }
}

/** What a user can ask of a VM that is there. */
export type VmAction = Exclude<Operation, 'create' | 'update'>;

interface ActionRule {
  /** In all other states it is refused with 400. */
  readonly allowedIn: readonly VmStatus[];
  readonly desiredPower: DesiredPower | 'as it is';
}

/** As Infrahub has it, and deleting at any time but while the VM is being made; again what is on its way out is no error. */
export const ACTIONS: Readonly<Record<VmAction, ActionRule>> = {
  start: { allowedIn: ['SHUTOFF'], desiredPower: 'running' },
  stop: { allowedIn: ['ACTIVE', 'ERROR'], desiredPower: 'stopped' },
  'hard-reboot': { allowedIn: ['ACTIVE', 'ERROR'], desiredPower: 'running' },
  hibernate: { allowedIn: ['ACTIVE'], desiredPower: 'hibernated' },
  'hibernate-restore': { allowedIn: ['HIBERNATED'], desiredPower: 'running' },
  resize: { allowedIn: ['ACTIVE', 'SHUTOFF'], desiredPower: 'as it is' },
  delete: {
    allowedIn: [
      'ACTIVE',
      'SHUTOFF',
      'HIBERNATED',
      'ERROR',
      'STARTING',
      'STOPPING',
      'REBOOTING',
      'HIBERNATING',
      'RESTORING',
      'RESIZING',
      'DELETING',
    ],
    desiredPower: 'absent',
  },
};

/** @param placed whether it has a place on a node; without one, it can only be deleted. */
export const isAllowed = (action: VmAction, status: VmStatus, placed: boolean): boolean =>
  ACTIONS[action].allowedIn.includes(status) && (placed || action === 'delete');

/** What the VM's power shall be for the action: a VM that is off stays off through a resize. */
export function desiredPowerFor(action: VmAction, status: VmStatus): DesiredPower {
  const { desiredPower } = ACTIONS[action];
  if (desiredPower !== 'as it is') return desiredPower;
  return status === 'SHUTOFF' ? 'stopped' : 'running';
}

export const allowedActions = (status: VmStatus, placed: boolean): VmAction[] =>
  (Object.keys(ACTIONS) as VmAction[]).filter((action) => isAllowed(action, status, placed));
