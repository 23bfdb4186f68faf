/**
 * The one statement that makes VMs: it claims their capacity by conditional UPDATE and inserts VM, incarnation, keys,
 * labels, event, task and webhook, or does nothing. One round trip, whatever the count; PostgreSQL holds the nodes'
 * rows for about a millisecond.
 *
 * The race for the last slot is decided here and nowhere else: `assert_claimed` raises when a node had less room than
 * placement believed, and the whole statement is undone.
 */
import type { DataSource } from 'typeorm';
import type { ComputeNodeId, EnvironmentId, IncarnationId, OrganizationId, TaskId, UserId, VmId, VmUuid } from '../../protocol/ids.js';
import type { VmSpec } from '../../protocol/task.js';
import type { PlacementExplanation } from '../scheduling/placement.js';
import type { KeyFacts } from './vm-request.js';

/** SQLSTATE of `assert_claimed`: somebody else was faster. */
export const CLAIM_LOST = 'BT001';

export interface NodeClaim {
  readonly node: ComputeNodeId;
  readonly vcpus: number;
  readonly memory_mib: number;
  readonly disk_gib: number;
  readonly gpu_model: string | null;
  readonly gpu_count: number;
}

export interface NewVm {
  readonly id: VmId;
  readonly uuid: VmUuid;
  readonly name: string;
  readonly incarnation_id: IncarnationId;
  readonly node: ComputeNodeId;
  readonly task_id: TaskId;
  readonly spec: VmSpec;
  readonly floating_ip_id: number | null;
  readonly callback_body: string | null;
}

export interface VmInsertion {
  readonly organizationId: OrganizationId;
  readonly environmentId: EnvironmentId;
  readonly userId: UserId;
  readonly flavorId: number;
  readonly imageId: number;
  readonly userData: string | null;
  readonly callbackUrl: string | null;
  readonly portRandomization: boolean;
  readonly createdAt: Date;
  /** Added up per node. */
  readonly claims: readonly NodeClaim[];
  /** What each of the VMs takes. */
  readonly each: Omit<NodeClaim, 'node'>;
  readonly placement: PlacementExplanation;
  readonly vms: readonly NewVm[];
  readonly keys: readonly KeyFacts[];
  readonly labels: readonly string[];
  readonly idempotency: { readonly key: string; readonly requestHash: string; readonly response: object } | null;
}

const INSERT = `
  WITH claim AS (
    SELECT * FROM json_to_recordset($1) AS c(node int, vcpus int, memory_mib int, disk_gib int, gpu_model text, gpu_count int)
  ), claimed AS (
    UPDATE compute_node n
       SET vcpus_used = n.vcpus_used + c.vcpus, memory_mib_used = n.memory_mib_used + c.memory_mib,
           disk_gib_used = n.disk_gib_used + c.disk_gib
      FROM claim c
     WHERE n.id = c.node AND NOT n.draining
       AND n.vcpus_used + c.vcpus <= n.vcpus_total AND n.memory_mib_used + c.memory_mib <= n.memory_mib_total
       AND n.disk_gib_used + c.disk_gib <= n.disk_gib_total
    RETURNING n.id
  ), claimed_gpu AS (
    UPDATE compute_node_gpu g SET used = g.used + c.gpu_count
      FROM claim c
     WHERE g.compute_node_id = c.node AND g.model = c.gpu_model AND g.used + c.gpu_count <= g.total
    RETURNING g.compute_node_id
  ), judged AS (
    SELECT assert_claimed((SELECT count(*) FROM claim), (SELECT count(*) FROM claimed), 'nodes')
       AND assert_claimed((SELECT count(*) FROM claim WHERE gpu_model IS NOT NULL),
                          (SELECT count(*) FROM claimed_gpu), 'GPU pools') AS granted
  ), vm AS (
    SELECT v.* FROM judged, json_to_recordset($2) AS
      v(id int, uuid uuid, name text, incarnation_id int, node int, task_id uuid, spec jsonb, floating_ip_id int, callback_body text)
     WHERE judged.granted
  ), inserted_vm AS (
    INSERT INTO virtual_machine (id, uuid, organization_id, environment_id, user_id, name, flavor_id, image_id, user_data,
                                 callback_url, port_randomization, desired_power, created_at)
    SELECT id, uuid, $3, $4, $5, name, $6, $7, $8, $9, $10, 'running', $11::timestamptz FROM vm
  ), inserted_incarnation AS (
    INSERT INTO incarnation (id, virtual_machine_id, compute_node_id, vcpus, memory_mib, disk_gib, gpu_model, gpu_count,
                             placement, created_at)
    SELECT vm.incarnation_id, vm.id, vm.node, each.vcpus, each.memory_mib, each.disk_gib, each.gpu_model, each.gpu_count,
           $13::jsonb, $11::timestamptz FROM vm, json_to_record($12) AS each(vcpus int, memory_mib int, disk_gib int, gpu_model text, gpu_count int)
  ), inserted_key AS (
    INSERT INTO virtual_machine_keypair (virtual_machine_id, position, keypair_id, name, public_key)
    SELECT vm.id, k.ordinality, (k.value->>'id')::int, k.value->>'name', k.value->>'public_key'
      FROM vm, json_array_elements($14) WITH ORDINALITY AS k
  ), inserted_label AS (
    INSERT INTO virtual_machine_label (virtual_machine_id, label) SELECT vm.id, l FROM vm, unnest($15::text[]) AS l
  ), taken_ip AS (
    UPDATE floating_ip SET virtual_machine_id = vm.id FROM vm WHERE floating_ip.id = vm.floating_ip_id
  ), inserted_event AS (
    INSERT INTO event (organization_id, virtual_machine_id, user_id, time, reason, object, message)
    SELECT $3, id, $5, $11, 'InstanceCreationRequest', name, 'Creation was requested.' FROM vm
  ), inserted_callback AS (
    INSERT INTO callback_delivery (id, organization_id, virtual_machine_id, url, body)
    SELECT gen_random_uuid(), $3, id, $9, callback_body FROM vm WHERE callback_body IS NOT NULL
  ), remembered AS (
    INSERT INTO idempotency_key (organization_id, key, request_hash, response)
    SELECT $3, $16::text, $17::text, $18::jsonb FROM judged WHERE $16::text IS NOT NULL AND judged.granted
  )
  INSERT INTO task (id, compute_node_id, virtual_machine_id, incarnation_id, generation, spec)
  SELECT task_id, node, id, incarnation_id, 1, spec FROM vm`;

/** @throws what PostgreSQL says: `CLAIM_LOST`, a unique violation of name or idempotency key, a deadlock. */
export async function insertVms(query: Pick<DataSource, 'query'>, vms: VmInsertion): Promise<void> {
  await query.query(INSERT, [
    JSON.stringify(vms.claims),
    JSON.stringify(vms.vms),
    vms.organizationId,
    vms.environmentId,
    vms.userId,
    vms.flavorId,
    vms.imageId,
    vms.userData,
    vms.callbackUrl,
    vms.portRandomization,
    vms.createdAt,
    JSON.stringify(vms.each),
    JSON.stringify(vms.placement),
    JSON.stringify(vms.keys),
    vms.labels,
    vms.idempotency?.key ?? null,
    vms.idempotency?.requestHash ?? null,
    vms.idempotency === null ? null : JSON.stringify(vms.idempotency.response),
  ]);
}
