/**
 * What drift there is, and what is done about each kind: pure functions, so that every inventory can be tried in a
 * property test. Who looks is drift-watch.ts, who acts drift-healing.ts.
 *
 * Compared are VMs that are settled alone: what a task explains that is under way is no drift, and a VM in ERROR is its
 * owner's. What it must never answer: an action for a domain that is not ours, or one that starts anything but the one
 * living incarnation of a VM, on its node, whose owner wants it to run.
 */
import type { InventoryItem } from '../../protocol/node.js';
import type { DesiredPower } from '../../protocol/task.js';
import type { Observed } from '../virtual-machines/vm-status.js';

export type VmDriftKind =
  | 'killed'
  | 'shut-down'
  | 'started'
  | 'paused'
  | 'unreported'
  | 'memory-lost'
  | 'missing-domain'
  | 'missing-disk'
  | 'unlinked-disk';

export type DriftKind = VmDriftKind | 'ended-incarnation' | 'unknown-incarnation' | 'foreign-domain';

/**
 * `adopt`: what is there is taken for what the VM is. `restart`, `stop`, `resume`, `recreate`: it is brought to what its
 * owner wants, by a new task; a domain is recreated on the disk that it had, never on another. `remove`: the domain
 * goes, by a task too. `fail`: the VM is in ERROR, with the reason. `report`: nothing is done.
 */
export type DriftAction = 'adopt' | 'restart' | 'stop' | 'resume' | 'recreate' | 'remove' | 'fail' | 'report';

interface Policy {
  readonly action: DriftAction;
  /** What the VM's owner reads in its event. */
  readonly message: string;
}

export const POLICY: Readonly<Record<DriftKind, Policy>> = {
  killed: { action: 'restart', message: 'The virtual machine was switched off on its node, and not by its guest. It is started again.' },
  'shut-down': { action: 'adopt', message: 'The guest has switched the virtual machine off.' },
  started: { action: 'stop', message: 'The virtual machine was started on its node, although it shall be off. It is switched off again.' },
  paused: { action: 'resume', message: 'The virtual machine was paused on its node. It goes on.' },
  unreported: { action: 'adopt', message: 'The power of the virtual machine was changed on its node to what its owner wants.' },
  'memory-lost': {
    action: 'report',
    message: 'The memory of the hibernated virtual machine is gone from its node. When it is restored, its guest will boot anew from its disk.',
  },
  'missing-domain': { action: 'recreate', message: 'The virtual machine was removed from its node. It is made anew on the disk that it had.' },
  'missing-disk': {
    action: 'fail',
    message: 'A disk of the virtual machine is missing on its node, and was not replaced by an empty one. Ask the operator to bring it back, and reboot; or delete the virtual machine.',
  },
  'unlinked-disk': {
    action: 'report',
    message: 'The file of a disk of the virtual machine was removed from its node. The guest can use it until it is switched off, and it is lost then: copy what it holds.',
  },
  'ended-incarnation': { action: 'remove', message: 'Something was left on a node of a former life of the virtual machine. It is removed.' },
  // Not of this database, or of one from a backup: it may be all that is left of somebody's data.
  'unknown-incarnation': { action: 'report', message: 'A node has a domain of Baton that this database does not know.' },
  'foreign-domain': { action: 'report', message: 'A node has a domain that is not of Baton.' },
};

/** Actions that bring a VM to what is desired of it. */
export const CONVERGES: Readonly<Record<DriftAction, boolean>> = {
  restart: true,
  stop: true,
  resume: true,
  recreate: true,
  adopt: false,
  remove: false,
  fail: false,
  report: false,
};

/** How often something is put right before it is only shown, while it comes back within `FLAPPING_MINUTES`. */
export const MOST_ATTEMPTS = 3;
export const FLAPPING_MINUTES = 10;
/** How long something must have been seen before anything is done. */
export const SETTLING_SECONDS = 2;
/** Between two attempts. */
export const PAUSE_SECONDS = 10;

/** A VM that is settled, at its place. */
export interface SettledVm {
  readonly desiredPower: DesiredPower;
  readonly observed: Observed;
  /** A guest with GPUs cannot be saved: its hibernation is a stop. */
  readonly hasGpu: boolean;
}

type State = InventoryItem['state'];
type Judgement = (vm: SettledVm, item: InventoryItem) => VmDriftKind | undefined;

const unlessObserved = (kind: VmDriftKind): Judgement => (vm, item) => (vm.observed === item.state ? undefined : kind);

/** Of domains that have their disks: desired power × what is there. */
const JUDGEMENTS: Readonly<Record<DesiredPower, Readonly<Record<State, Judgement>>>> = {
  running: {
    running: (vm, item) => (item.paused ? 'paused' : unlessObserved('unreported')(vm, item)),
    stopped: (vm, item) => unlessObserved(item.shutDown ? 'shut-down' : 'killed')(vm, item),
    hibernated: unlessObserved('killed'),
  },
  stopped: {
    running: () => 'started',
    stopped: unlessObserved('unreported'),
    // Off, but with a memory that the next start would go on with.
    hibernated: () => 'started',
  },
  hibernated: {
    running: () => 'started',
    stopped: (vm) => (vm.hasGpu ? undefined : 'memory-lost'),
    hibernated: unlessObserved('unreported'),
  },
  // What is on its way out is not settled before it is gone.
  absent: { running: () => undefined, stopped: () => undefined, hibernated: () => undefined },
};

/** Whether what is there means anything: not for a VM that was never there, or is in ERROR. */
const COMPARED: Readonly<Record<Observed, boolean>> = {
  nothing: false,
  undone: false,
  building: false,
  running: true,
  stopped: true,
  hibernated: true,
  absent: false,
  failed: false,
};

/** @param item the domain of the VM's living incarnation on its node, if there is one. */
export function driftOf(vm: SettledVm, item: InventoryItem | undefined): VmDriftKind | undefined {
  if (!COMPARED[vm.observed] || vm.desiredPower === 'absent') return undefined;
  if (item === undefined) return 'missing-domain';
  if (item.diskMissing) return item.state === 'running' ? 'unlinked-disk' : 'missing-disk';
  return JUDGEMENTS[vm.desiredPower][item.state](vm, item);
}

export interface SeenDrift {
  readonly kind: DriftKind;
  readonly attempts: number;
  /** The node is drained, and its VMs are stopped. */
  readonly nodeStopsVms: boolean;
  /** As the setting says: nothing is put right. */
  readonly showOnly: boolean;
}

/** `wait`: till the node is in service again. `give-up`: it was tried often enough, and is only shown. */
export function decide({ kind, attempts, nodeStopsVms, showOnly }: SeenDrift): DriftAction | 'wait' | 'give-up' {
  const { action } = POLICY[kind];
  if (action === 'report' || (showOnly && action !== 'adopt')) return 'report';
  if (CONVERGES[action] && action !== 'stop' && nodeStopsVms) return 'wait';
  return attempts >= MOST_ATTEMPTS && action !== 'adopt' ? 'give-up' : action;
}
