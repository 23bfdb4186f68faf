/**
 * The room of a volume on a node's disk: claimed when the volume gets its place, more of it when it grows, released
 * when its file is gone (`volume-removals.ts`). The conditional UPDATE decides the race for the last room, as for VMs.
 */
import type { EntityManager } from 'typeorm';
import type { ComputeNodeId } from '../../protocol/ids.js';
import { ApiError } from '../http/api-error.js';

/** @returns false when the node has not so much room; nothing is changed then. */
export async function claimDisk(transaction: EntityManager, node: ComputeNodeId, gib: number): Promise<boolean> {
  const [, claimed] = await transaction.query<[unknown, number]>(
    `UPDATE compute_node SET disk_gib_used = disk_gib_used + $2::int
      WHERE id = $1 AND disk_gib_used + $2::bigint <= disk_gib_total`,
    [node, gib],
  );
  return claimed === 1;
}

export const noRoom = (node: string, gib: number, wayOut: string): ApiError =>
  new ApiError(409, `The node ${node} has no room for another ${gib} GiB. Delete what is not needed there, or ${wayOut}.`, 'no_capacity');
