/**
 * The status that a user sees: a pure function of what is desired and what was last observed. The API writes the one,
 * reports write the other, and nobody writes the status by hand.
 *
 * `settled` says that the last report speaks of the latest desire; before it does, the VM is on its way.
 */
import type { ObservedState } from '../../protocol/report.js';
import type { DesiredPower } from '../../protocol/task.js';

/** `nothing`: no report yet. */
export type Observed = 'nothing' | ObservedState;

export type VmStatus =
  | 'CREATING'
  | 'BUILD'
  | 'ACTIVE'
  | 'STARTING'
  | 'STOPPING'
  | 'SHUTOFF'
  | 'ERROR'
  | 'DELETING'
  | 'DELETED';

interface StatusCell {
  readonly settled: VmStatus;
  readonly underWay: VmStatus;
}

const always = (status: VmStatus): StatusCell => ({ settled: status, underWay: status });

/** desired power × observed state. */
const TABLE: Readonly<Record<DesiredPower, Readonly<Record<Observed, StatusCell>>>> = {
  running: {
    nothing: always('CREATING'),
    building: always('BUILD'),
    running: always('ACTIVE'),
    // Settled: the guest switched itself off.
    stopped: { settled: 'SHUTOFF', underWay: 'STARTING' },
    absent: { settled: 'ERROR', underWay: 'BUILD' },
    failed: { settled: 'ERROR', underWay: 'STARTING' },
  },
  stopped: {
    nothing: always('CREATING'),
    building: always('BUILD'),
    running: { settled: 'ACTIVE', underWay: 'STOPPING' },
    stopped: always('SHUTOFF'),
    absent: { settled: 'ERROR', underWay: 'STOPPING' },
    failed: { settled: 'ERROR', underWay: 'STOPPING' },
  },
  absent: {
    nothing: always('DELETING'),
    building: always('DELETING'),
    running: always('DELETING'),
    stopped: always('DELETING'),
    absent: { settled: 'DELETED', underWay: 'DELETING' },
    // A removal that failed is shown; deleting again tries again.
    failed: { settled: 'ERROR', underWay: 'DELETING' },
  },
};

export interface StatusInput {
  readonly desiredPower: DesiredPower;
  readonly generation: number;
  readonly observed: Observed;
  readonly observedGeneration: number;
}

export function deriveStatus(vm: StatusInput): VmStatus {
  const cell = TABLE[vm.desiredPower][vm.observed];
  return vm.observedGeneration >= vm.generation ? cell.settled : cell.underWay;
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

export type VmAction = 'delete';

/** In which states each action is taken; in all others it is refused with 400. */
const ACTION_STATES: Readonly<Record<VmAction, readonly VmStatus[]>> = {
  // As Infrahub: not while the VM is being made. Deleting again what is on its way out is no error.
  delete: ['ACTIVE', 'SHUTOFF', 'ERROR', 'STARTING', 'STOPPING', 'DELETING'],
};

export const isAllowed = (action: VmAction, status: VmStatus): boolean => ACTION_STATES[action].includes(status);

export const allowedActions = (status: VmStatus): VmAction[] =>
  (Object.keys(ACTION_STATES) as VmAction[]).filter((action) => isAllowed(action, status));
