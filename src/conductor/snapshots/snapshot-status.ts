/**
 * The states of a snapshot, and who brings it out of each that is not final.
 *
 * | status   | deadline               | owner              | next                                                    |
 * |----------|------------------------|--------------------|---------------------------------------------------------|
 * | CREATING | `deadline_at`          | the VM's node      | its report: SUCCESS or ERROR; none in time: ERROR       |
 * | SUCCESS  | final                  |                    | deletion                                                |
 * | ERROR    | final                  |                    | deletion                                                |
 * | DELETING | none: asked at each heartbeat | the node    | the file is gone: the row ends                          |
 */
export type SnapshotState = 'CREATING' | 'SUCCESS' | 'ERROR';

export type SnapshotStatus = SnapshotState | 'DELETING';

/** The VM's node has to have answered by then: longer than the worker allows itself, and than a restart of it takes. */
export const CREATED_WITHIN_MINUTES = 40;

export const statusOf = (state: SnapshotState, removing: boolean): SnapshotStatus => (removing ? 'DELETING' : state);
