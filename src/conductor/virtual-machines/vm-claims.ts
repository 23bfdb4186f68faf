/**
 * What a VM that has its place claims there: given back but for its disk while it is hibernated (by reports), taken
 * again, or changed to another flavor's. Placement makes the first claim, in `vm-insertion.ts`.
 *
 * The race for the last slot is decided by one conditional UPDATE, as at the first claim: the statement raises when
 * there is no room, and the caller's savepoint undoes it. Nodes are locked after the VMs' rows, in the order of ids.
 */
import type { EntityManager } from 'typeorm';
import type { IncarnationId } from '../../protocol/ids.js';
import type { VmHardware } from '../../protocol/task.js';
import { sqlState } from '../database/database-error.js';
import { ApiError } from '../http/api-error.js';
import { quotaRefusal } from '../quotas/quota-refusal.js';
import { CLAIM_LOST, type Claim } from './vm-insertion.js';

/** The GPUs of the old and of the new model change at once; where both are one model, by the difference. */
const MOVE = `
  WITH old AS (
    SELECT id, compute_node_id, disk_gib, gpu_model,
           CASE WHEN hibernated THEN 0 ELSE vcpus END AS vcpus,
           CASE WHEN hibernated THEN 0 ELSE memory_mib END AS memory_mib,
           CASE WHEN hibernated THEN 0 ELSE gpu_count END AS gpu_count
      FROM incarnation WHERE id = $1
  ), gpu_change AS (
    SELECT model, sum(change)::int AS change
      FROM (SELECT gpu_model AS model, -gpu_count AS change FROM old UNION ALL SELECT $5::text, $6::int) AS c
     WHERE model IS NOT NULL GROUP BY model HAVING sum(change) <> 0
  ), node AS (
    UPDATE compute_node n
       SET vcpus_used = n.vcpus_used - old.vcpus + $2, memory_mib_used = n.memory_mib_used - old.memory_mib + $3,
           disk_gib_used = n.disk_gib_used - old.disk_gib + $4
      FROM old
     WHERE n.id = old.compute_node_id AND n.vcpus_used - old.vcpus + $2 <= n.vcpus_total
       AND n.memory_mib_used - old.memory_mib + $3 <= n.memory_mib_total
       AND n.disk_gib_used - old.disk_gib + $4 <= n.disk_gib_total
    RETURNING n.id
  ), gpu AS (
    UPDATE compute_node_gpu g SET used = g.used + c.change
      FROM gpu_change c, old
     WHERE g.compute_node_id = old.compute_node_id AND g.model = c.model AND g.used + c.change <= g.total
    RETURNING g.model
  ), moved AS (
    UPDATE incarnation i
       SET vcpus = $2, memory_mib = $3, disk_gib = $4, gpu_model = $5, gpu_count = $6, hibernated = false
     WHERE i.id = $1
  )
  SELECT assert_claimed(1, (SELECT count(*) FROM node), 'nodes')
     AND assert_claimed((SELECT count(*) FROM gpu_change), (SELECT count(*) FROM gpu), 'GPU pools') AS granted`;

export const claimOf = ({ vcpus, memoryMib, diskGib, gpu }: VmHardware): Claim => ({
  vcpus,
  memory_mib: memoryMib,
  disk_gib: diskGib,
  gpu_model: gpu?.model ?? null,
  gpu_count: gpu?.count ?? 0,
});

/**
 * Makes `claim` what the incarnation holds on its node. To be called in a savepoint: a refusal has to be undone.
 * @throws ApiError 409 with `refusal` when the node has no room for the difference, 403 when the quota has none.
 */
export async function moveClaim(savepoint: EntityManager, incarnation: IncarnationId, claim: Claim, refusal: string): Promise<void> {
  const { vcpus, memory_mib, disk_gib, gpu_model, gpu_count } = claim;
  try {
    await savepoint.query(MOVE, [incarnation, vcpus, memory_mib, disk_gib, gpu_model, gpu_count]);
  } catch (error) {
    if (sqlState(error) !== CLAIM_LOST) throw quotaRefusal(error) ?? error;
    throw new ApiError(409, refusal, 'no_capacity');
  }
}
