/**
 * How a snapshot that is being taken comes to its end: by the report of the VM's node, by anything else that ends the
 * wish (the VM failed before it came so far, a worker that knows no snapshots), or by its deadline. In the caller's
 * transaction, which has the VM's row locked; so each snapshot ends once.
 *
 * With it end the wish in the VM's hardware and the claim, but for what the copy really takes.
 */
import type { EntityManager } from 'typeorm';
import type { VmId } from '../../protocol/ids.js';
import type { SnapshotOutcome } from '../../protocol/snapshot.js';
import { writeSnapshotNews } from './snapshot-news.js';

export interface SnapshotEnd {
  readonly vmId: VmId;
  /** Of the VM's desired state, that this speaks of; a wish of a later one is left alone. */
  readonly generation: number;
  /** What the worker said of the snapshot itself. */
  readonly outcome: SnapshotOutcome | undefined;
  /** The node is done with that generation, whether or not it said anything of the snapshot. */
  readonly over: boolean;
  /** Why there is none, where the worker did not say. */
  readonly fault: string | null;
}

const UNSAID = 'The compute node did not say what came of it. Is its worker of an older version?';

const SETTLE = `
  WITH r AS (
    SELECT * FROM json_to_recordset($1) AS r(vm_id int, generation int, over boolean, uuid uuid, size_bytes bigint, problem text)
  ), settled AS (
    UPDATE snapshot s
       SET state = CASE WHEN r.uuid = s.uuid AND r.size_bytes IS NOT NULL THEN 'SUCCESS' ELSE 'ERROR' END,
           size_bytes = CASE WHEN r.uuid = s.uuid THEN r.size_bytes END,
           claimed_gib = CASE WHEN r.uuid = s.uuid AND r.size_bytes IS NOT NULL
                              THEN least(old.claimed_gib, greatest(1, ceil(r.size_bytes / 1073741824.0)))::int ELSE 0 END,
           fault = CASE WHEN r.uuid = s.uuid AND r.size_bytes IS NOT NULL THEN NULL ELSE r.problem END,
           deadline_at = NULL, updated_at = now()
      FROM r JOIN snapshot old ON old.virtual_machine_id = r.vm_id AND old.state = 'CREATING'
     WHERE s.id = old.id AND (r.uuid = old.uuid OR r.over AND old.generation <= r.generation)
    RETURNING s.id, s.virtual_machine_id, s.compute_node_id, s.state, s.fault, old.claimed_gib - s.claimed_gib AS released
  ), updated_vm AS (
    UPDATE virtual_machine vm SET hardware = vm.hardware - 'snapshot' FROM settled WHERE vm.id = settled.virtual_machine_id
  ), updated_node AS (
    UPDATE compute_node n SET disk_gib_used = n.disk_gib_used - u.released
      FROM (SELECT compute_node_id, sum(released)::int AS released FROM settled GROUP BY compute_node_id) u
     WHERE n.id = u.compute_node_id
  )
  SELECT id, state, fault FROM settled`;

/** @returns whether there is a webhook to deliver. */
export async function settleSnapshots(transaction: EntityManager, ends: readonly SnapshotEnd[]): Promise<boolean> {
  const told = ends.filter(({ outcome, over }) => outcome !== undefined || over);
  if (told.length === 0) return false;
  const settled = await transaction.query<{ id: number; state: 'SUCCESS' | 'ERROR'; fault: string | null }[]>(SETTLE, [
    JSON.stringify(
      told.map(({ vmId, generation, over, outcome, fault }) => ({
        vm_id: vmId,
        generation,
        over,
        uuid: outcome?.uuid,
        size_bytes: outcome?.sizeBytes,
        problem: outcome?.problem ?? fault ?? UNSAID,
      })),
    ),
  ]);
  return await writeSnapshotNews(
    transaction,
    settled.map(({ id, state, fault }) => ({
      snapshotId: id,
      news: state === 'SUCCESS' ? ('created' as const) : ('failed' as const),
      ...(fault !== null && { message: fault }),
      userId: null,
    })),
  );
}
