/**
 * What a compute worker tells the conductor, over REST with the node's own key.
 *
 * A report speaks of one incarnation and carries a sequence that only grows: `session · 2³² + counter`, where the
 * session is handed out at registration. The conductor refuses what is older than the last one it accepted, so
 * reports may be repeated and reordered.
 */
import type { IncarnationId, TaskId, VolumeUuid } from './ids.js';
import type { SnapshotOutcome } from './snapshot.js';

/** What the worker saw of the VM. `building`: the task was taken up; `failed`: it was given up and undone. */
export type ObservedState = 'building' | 'running' | 'stopped' | 'hibernated' | 'absent' | 'failed';

/**
 * Where a failure would happen again: on the `node` that reports it, or anywhere, because the `image` cannot be used or
 * the `request` cannot be carried out.
 */
export type FailureCause = 'node' | 'image' | 'request';

export interface VmReport {
  readonly incarnationId: IncarnationId;
  /** Absent when no task asked for what is told: a guest that switched itself off. */
  readonly taskId?: TaskId;
  readonly generation: number;
  readonly sequence: number;
  readonly observed: ObservedState;
  /** SHA-256 (hex) of the token in the guest's metadata URL; the worker makes the token, nobody else ever sees it. */
  readonly metadataTokenHash?: string;
  /** The volumes that the domain has, where the task spoke of volumes. */
  readonly volumes?: readonly VolumeUuid[];
  /** Where the task asked for one. That it could not be taken says nothing against the VM. */
  readonly snapshot?: SnapshotOutcome;
  /** For `failed`: what went wrong, in words fit for the VM's owner. */
  readonly reason?: string;
  /** For `failed`; workers of the version before do not say it, and then it is the node's. */
  readonly cause?: FailureCause;
}

export interface ReportBatch {
  readonly session: number;
  readonly reports: readonly VmReport[];
}

/**
 * `accepted`: the state is in the database. `stale`: something newer of this incarnation was accepted before.
 * `ended`: the incarnation is over or never was on this node; what is left of it on the node shall go.
 */
export type ReportVerdict = 'accepted' | 'stale' | 'ended';

export interface ReportBatchAnswer {
  /** One for each report, in order. */
  readonly verdicts: readonly ReportVerdict[];
}
