/**
 * What VMs have used, told by their worker in one message for all of the node, once in each interval.
 *
 * Amounts are what was used since the sample before, so that a counter that began anew does no harm. A batch has a number
 * that only grows within a session: one that is sent again, because its answer was lost, is counted once.
 */
import type { IncarnationId, VmUuid } from './ids.js';

export interface VmSample {
  readonly vmUuid: VmUuid;
  readonly incarnationId: IncarnationId;
  /** Nanoseconds of processor time. */
  readonly cpuNs: number;
  /** In use at this moment, in MiB. */
  readonly memoryMib: number;
  readonly diskReadBytes: number;
  readonly diskWriteBytes: number;
  /** As the guest sees it. */
  readonly networkInBytes: number;
  readonly networkOutBytes: number;
}

export interface SampleBatch {
  readonly session: number;
  readonly batch: number;
  readonly samples: readonly VmSample[];
}

/** VMs that one message tells of at most, so that it fits into a request; no node has as many. */
export const MOST_SAMPLES = 2_000;
