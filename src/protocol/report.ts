/**
 * What a compute worker tells the conductor, over REST with the node's own key.
 *
 * A report speaks of one incarnation and carries a sequence that only grows: `session · 2³² + counter`, where the
 * session is handed out at registration. The conductor refuses what is older than the last one it accepted, so
 * reports may be repeated and reordered; a foreign incarnation is refused with 409.
 */
import type { IncarnationId, TaskId } from './ids.js';

/** What the worker saw of the VM. `building`: the task was taken up; `failed`: it was given up and undone. */
export type ObservedState = 'building' | 'running' | 'stopped' | 'absent' | 'failed';

export interface VmReport {
  readonly incarnationId: IncarnationId;
  readonly taskId: TaskId;
  readonly generation: number;
  readonly sequence: number;
  readonly observed: ObservedState;
  /** Address on the node's network, as the guest gets it by DHCP. */
  readonly fixedIp?: string;
  /** SHA-256 (hex) of the token in the guest's metadata URL; the worker makes the token, nobody else ever sees it. */
  readonly metadataTokenHash?: string;
  /** For `failed`: what went wrong, in words fit for the VM's owner. */
  readonly reason?: string;
}

export interface ReportBatch {
  readonly session: number;
  readonly reports: readonly VmReport[];
}

/** `accepted`: the state is in the database. `stale`: an older or foreign one, refused; nothing will make it welcome. */
export type ReportVerdict = 'accepted' | 'stale';

export interface ReportBatchAnswer {
  /** One for each report, in order. */
  readonly verdicts: readonly ReportVerdict[];
}
