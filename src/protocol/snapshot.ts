/**
 * Snapshots, as workers know them: by UUID. A snapshot is a copy of a VM's root disk as it was at one moment, in a file
 * of its own that refers to no other, on the node that took it. It outlives its VM, and is never written to.
 */
import type { SnapshotUuid } from './ids.js';

/** That a VM's disk shall have been copied. The UUID makes it happen once, however often it is asked for. */
export interface SnapshotSpec {
  readonly uuid: SnapshotUuid;
}

/** What came of it: how much room the copy takes on the node, or why there is none. */
export type SnapshotOutcome = { readonly uuid: SnapshotUuid } & (
  | { readonly sizeBytes: number; readonly problem?: undefined }
  | { readonly sizeBytes?: undefined; readonly problem: string }
);

/** What a worker tells when it has removed files that the answer to its heartbeat named. */
export interface RemovedSnapshots {
  readonly session: number;
  readonly snapshots: readonly SnapshotUuid[];
}
