/**
 * What a report changes: a pure function from a VM's state and one report to its next state, so that any order and
 * any repetition of reports can be tried in a property test. The database work is in reports.ts.
 */
import type { TaskId, VolumeUuid } from '../../protocol/ids.js';
import type { FailureCause, ObservedState, ReportVerdict, VmReport } from '../../protocol/report.js';
import type { DesiredPower } from '../../protocol/task.js';
import type { SnapshotOutcome } from '../../protocol/snapshot.js';
import { deriveStatus, type Observed, type Operation, type VmStatus } from '../virtual-machines/vm-status.js';

/** On how many nodes a VM is tried before it is given up. */
export const MOST_NODES_TRIED = 3;

/** Whether another node is worth a try. */
const MAY_WORK_ELSEWHERE: Readonly<Record<FailureCause, boolean>> = { node: true, image: false, request: false };

/** The part of a VM and its incarnation that reports write, and what they are judged by. */
export interface ReportedVm {
  readonly desiredPower: DesiredPower;
  readonly operation: Operation;
  readonly generation: number;
  readonly observed: Observed;
  readonly observedGeneration: number;
  readonly status: VmStatus;
  readonly fault: string | null;
  /** Some report has seen it running or stopped. */
  readonly hasRun: boolean;
  readonly metadataTokenHash: string | null;
  readonly lastSequence: number;
  /** How many nodes were tried for this life of the VM, the present one among them. */
  readonly attempt: number;
  /** It has or had volumes, which lie on its node. */
  readonly hasVolumes: boolean;
  /** Why this incarnation failed. */
  readonly failure: string | null;
  /** What volumes a report has seen in the domain, and of which generation it spoke. */
  readonly seenVolumes?: { readonly generation: number; readonly volumes: readonly VolumeUuid[] } | undefined;
  /** What came of a snapshot that was asked for. */
  readonly snapshot?: SnapshotOutcome | undefined;
  /** The incarnation is over and its claim released. */
  readonly ended: boolean;
  /** The task whose end the last report told of; those of older generations end with it. */
  readonly concluded: { readonly taskId: TaskId; readonly state: 'done' | 'failed' } | undefined;
}

export function foldReport(vm: ReportedVm, report: VmReport): { verdict: ReportVerdict; vm: ReportedVm } {
  if (vm.ended) return { verdict: 'ended', vm };
  // The very same report again: its first answer was lost on the way.
  if (report.sequence === vm.lastSequence) return { verdict: 'accepted', vm };
  if (report.sequence < vm.lastSequence) return { verdict: 'stale', vm };

  // One that is being built anew has a disk with somebody's data.
  const neverRan = !vm.hasRun && NEVER_RAN.has(vm.observed);
  const startFailed = report.observed === 'failed' && neverRan && vm.desiredPower !== 'absent';
  const elsewhere =
    startFailed && !vm.hasVolumes && vm.attempt < MOST_NODES_TRIED && MAY_WORK_ELSEWHERE[report.cause ?? 'node'];
  const observed = elsewhere ? 'undone' : report.observed;
  // Being built is no arrival, and being undone still less: the VM stays on its way to that generation.
  const reached = observed === 'building' || observed === 'undone' ? report.generation - 1 : report.generation;
  const observedGeneration = Math.min(reached, vm.generation);
  const status = deriveStatus({ ...vm, observed, observedGeneration });
  return {
    verdict: 'accepted',
    vm: {
      ...vm,
      observed,
      observedGeneration,
      status,
      fault: status === 'ERROR' ? (report.reason ?? unexplained(report.observed)) : null,
      failure: startFailed ? (report.reason ?? unexplained(report.observed)) : vm.failure,
      hasRun: vm.hasRun || observed === 'running' || observed === 'stopped',
      metadataTokenHash: report.metadataTokenHash ?? vm.metadataTokenHash,
      lastSequence: report.sequence,
      seenVolumes: report.volumes === undefined ? vm.seenVolumes : { generation: report.generation, volumes: report.volumes },
      snapshot: report.snapshot ?? vm.snapshot,
      // A first start that failed was undone by the worker, and keeps its claim until another node has been found; a VM that had run keeps its disk and its place.
      ended: status === 'DELETED' || (startFailed && !elsewhere),
      concluded:
        observed === 'building' || report.taskId === undefined
          ? vm.concluded
          : { taskId: report.taskId, state: report.observed === 'failed' ? 'failed' : 'done' },
    },
  };
}

const NEVER_RAN: ReadonlySet<Observed> = new Set(['nothing', 'building', 'undone']);

/** Of this report alone, not of what was said before it: or the order of arrival would show in the row. */
const unexplained = (observed: ObservedState): string =>
  observed === 'failed'
    ? 'The compute node could not do what was asked of it, and did not say why.'
    : 'The virtual machine is gone from its node.';
