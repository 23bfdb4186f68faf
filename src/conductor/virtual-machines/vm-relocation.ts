/**
 * How a VM gets another place: one incarnation ends and gives its claim back, the next begins on another node with a
 * claim of the same size, and a task asks for it there. All in the caller's transaction, which has the VM's row locked.
 *
 * Excluded races: the last slot on the new node, by conditional UPDATE, as at the first claim; two such moves in opposite
 * directions, by locking both nodes first, in the order of ids. Whatever the old node still reports is about an
 * incarnation that has ended, and its unfinished tasks end here.
 */
import { randomUUID } from 'node:crypto';
import type { EntityManager } from 'typeorm';
import type { ComputeNodeId, IncarnationId, TaskId, VmId } from '../../protocol/ids.js';
import type { VmHardware } from '../../protocol/task.js';
import type { PlacementExplanation } from '../scheduling/placement.js';
import { claimOf } from './vm-claims.js';

const LOCK_NODES = 'SELECT id FROM compute_node WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE';

const END = `
  WITH old AS (
    SELECT *, claimed AND NOT hibernated AS whole FROM incarnation WHERE id = $1 AND ended_at IS NULL
  ), ended AS (
    UPDATE incarnation i SET claimed = false, ended_at = now(), left_behind = $2 FROM old WHERE i.id = old.id
  ), node AS (
    UPDATE compute_node n
       SET vcpus_used = n.vcpus_used - CASE WHEN old.whole THEN old.vcpus ELSE 0 END,
           memory_mib_used = n.memory_mib_used - CASE WHEN old.whole THEN old.memory_mib ELSE 0 END,
           disk_gib_used = n.disk_gib_used - old.disk_gib
      FROM old WHERE n.id = old.compute_node_id AND old.claimed
  ), gpu AS (
    UPDATE compute_node_gpu g SET used = g.used - old.gpu_count
      FROM old WHERE g.compute_node_id = old.compute_node_id AND g.model = old.gpu_model AND old.whole
  )
  UPDATE task t SET state = 'superseded', finished_at = now()
    FROM old WHERE t.virtual_machine_id = old.virtual_machine_id AND t.state IN ('pending', 'published')`;

const BEGIN = `
  WITH node AS (
    UPDATE compute_node n
       SET vcpus_used = n.vcpus_used + $3, memory_mib_used = n.memory_mib_used + $4, disk_gib_used = n.disk_gib_used + $5
     WHERE n.id = $2 AND NOT n.draining AND n.vcpus_used + $3 <= n.vcpus_total
       AND n.memory_mib_used + $4 <= n.memory_mib_total AND n.disk_gib_used + $5 <= n.disk_gib_total
    RETURNING n.id
  ), gpu AS (
    UPDATE compute_node_gpu g SET used = g.used + $7
     WHERE g.compute_node_id = $2 AND g.model = $6::text AND g.used + $7 <= g.total
    RETURNING g.model
  ), judged AS (
    SELECT assert_claimed(1, (SELECT count(*) FROM node), 'nodes')
       AND assert_claimed(CASE WHEN $6::text IS NULL THEN 0 ELSE 1 END, (SELECT count(*) FROM gpu), 'GPU pools') AS granted
  ), begun AS (
    INSERT INTO incarnation (id, virtual_machine_id, compute_node_id, vcpus, memory_mib, disk_gib, gpu_model, gpu_count,
                             attempt, placement, created_at)
    SELECT nextval('incarnation_id_seq'), $1, $2, $3, $4, $5, $6, $7, $8, $9, now() FROM judged WHERE granted
    RETURNING id
  ), vm AS (
    UPDATE virtual_machine
       SET observed = 'nothing', observed_generation = least(observed_generation, generation - 1), status = $10,
           operation = CASE WHEN $12 THEN 'create' ELSE operation END, fault = NULL, has_run = false, reachable_at = NULL
     WHERE id = $1 RETURNING generation
  )
  INSERT INTO task (id, compute_node_id, virtual_machine_id, incarnation_id, generation)
  SELECT $11, $2, $1, begun.id, vm.generation FROM begun, vm`;

/** A VM whose row is locked, and the incarnation that it shall leave. */
export interface Relocatable {
  readonly id: VmId;
  readonly hardware: VmHardware;
  readonly incarnation_id: IncarnationId;
  readonly compute_node_id: ComputeNodeId;
}

export interface NewPlace {
  readonly node: ComputeNodeId;
  readonly placement: PlacementExplanation;
  /** Which of the nodes that are tried for this life it is, from 1. */
  readonly attempt: number;
  /** What is shown while nothing is known of the new incarnation. */
  readonly status: string;
  /** The old node is lost: it is told what to remove when it comes back, and the VM is made anew, whatever it was doing. */
  readonly fromLostNode?: boolean;
}

/** @throws what PostgreSQL says: `CLAIM_LOST` when the node has no room any more, a deadlock, an exceeded quota. */
export async function relocate(transaction: EntityManager, vm: Relocatable, place: NewPlace): Promise<void> {
  const { fromLostNode = false } = place;
  await lockNodes(transaction, [vm.compute_node_id, place.node]);
  await transaction.query(END, [vm.incarnation_id, fromLostNode]);
  const { vcpus, memory_mib, disk_gib, gpu_model, gpu_count } = claimOf(vm.hardware);
  const { node, attempt, placement, status } = place;
  await transaction.query(BEGIN, [
    vm.id,
    node,
    vcpus,
    memory_mib,
    disk_gib,
    gpu_model,
    gpu_count,
    attempt,
    JSON.stringify(placement),
    status,
    randomUUID() as TaskId,
    fromLostNode,
  ]);
}

/** Ends an incarnation: its claim is given back and its unfinished tasks with it. */
export async function endPlace(transaction: EntityManager, incarnation: IncarnationId): Promise<void> {
  await transaction.query(END, [incarnation, false]);
}

/** Nor does a node register while its row is locked. */
export async function lockNodes(transaction: EntityManager, nodes: readonly ComputeNodeId[]): Promise<void> {
  await transaction.query(LOCK_NODES, [nodes]);
}
