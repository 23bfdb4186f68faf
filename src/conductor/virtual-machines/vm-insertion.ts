/**
 * The one statement that makes VMs: it claims their capacity by conditional UPDATE and inserts VM, incarnation, keys,
 * labels, security rules, event, audit, task and webhook, or does nothing. One round trip, whatever the count and however
 * many requests are in it; PostgreSQL holds the nodes' rows until the commit, about a millisecond.
 *
 * The race for the last slot is decided here and nowhere else: `assert_claimed` raises when a node had less room than
 * placement believed, and the whole statement is undone. So is the race for an address, by the unique index.
 */
import type { DataSource, EntityManager } from 'typeorm';
import type {
  ComputeNodeId,
  EnvironmentId,
  IncarnationId,
  OrganizationId,
  TaskId,
  UserId,
  VmId,
  VmUuid,
} from '../../protocol/ids.js';
import type { SecurityRuleSpec } from '../../protocol/security-rule.js';
import type { VmHardware } from '../../protocol/task.js';
import { insertAuditRows } from '../audit/change.js';
import { PreparedStatement } from '../database/prepared-statement.js';
import type { ProfileData } from '../profiles/profile.entity.js';
import type { PlacementExplanation } from '../scheduling/placement.js';
import type { KeyFacts } from './vm-request.js';

/** SQLSTATE of `assert_claimed`: somebody else was faster. */
export const CLAIM_LOST = 'BT001';

/** What one VM takes of a node. */
export interface Claim {
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
  readonly incarnationId: IncarnationId;
  readonly node: ComputeNodeId;
  readonly taskId: TaskId;
  readonly hardware: VmHardware;
  readonly floatingIpId: number | null;
  readonly callbackBody: string | null;
}

/** The VMs of one request: alike but for what `NewVm` has. */
export interface VmInsertion {
  readonly organizationId: OrganizationId;
  readonly environmentId: EnvironmentId;
  readonly userId: UserId;
  readonly flavorId: number;
  readonly imageId: number;
  /** That the VMs' disks are made of; `restored` when by its own name, not by that of an image. */
  readonly snapshot: { readonly id: number; readonly restored?: true } | null;
  readonly userData: string | null;
  readonly callbackUrl: string | null;
  readonly portRandomization: boolean;
  readonly createdAt: Date;
  readonly claim: Claim;
  /** What is claimed on the node beside that, for a volume that is made with each VM. */
  readonly volumeGib: number;
  readonly placement: PlacementExplanation;
  readonly vms: readonly NewVm[];
  readonly keys: readonly KeyFacts[];
  readonly labels: readonly string[];
  readonly rules: readonly SecurityRuleSpec[];
  /** The request itself, to be kept under a name. */
  readonly profile: { readonly name: string; readonly description: string; readonly data: ProfileData } | null;
  /** The request's row in the audit. */
  readonly audit: object;
  readonly idempotency: { readonly key: string; readonly requestHash: string; readonly response: object } | null;
}

const INSERT = new PreparedStatement(
  'insert virtual machines',
  `
  WITH node_claim AS (
    SELECT * FROM json_to_recordset($1) AS c(node int, vcpus int, memory_mib int, disk_gib int)
  ), gpu_claim AS (
    SELECT * FROM json_to_recordset($2) AS c(node int, model text, count int)
  ), claimed AS (
    UPDATE compute_node n
       SET vcpus_used = n.vcpus_used + c.vcpus, memory_mib_used = n.memory_mib_used + c.memory_mib,
           disk_gib_used = n.disk_gib_used + c.disk_gib
      FROM node_claim c
     WHERE n.id = c.node AND NOT n.draining
       AND n.vcpus_used + c.vcpus <= n.vcpus_total AND n.memory_mib_used + c.memory_mib <= n.memory_mib_total
       AND n.disk_gib_used + c.disk_gib <= n.disk_gib_total
    RETURNING n.id
  ), claimed_gpu AS (
    UPDATE compute_node_gpu g SET used = g.used + c.count
      FROM gpu_claim c
     WHERE g.compute_node_id = c.node AND g.model = c.model AND g.used + c.count <= g.total
    RETURNING g.compute_node_id
  ), living AS (
    SELECT id FROM environment WHERE id = ANY($6) AND deleted_at IS NULL FOR KEY SHARE
  ), kept AS (
    SELECT s.id FROM snapshot s JOIN virtual_machine of ON of.id = s.virtual_machine_id
     WHERE s.id = ANY($8) AND s.removal_requested_at IS NULL FOR KEY SHARE
  ), judged AS (
    SELECT assert_claimed(cardinality($6::int[]), (SELECT count(*) FROM living), 'environments')
       AND assert_claimed(cardinality($8::int[]), (SELECT count(*) FROM kept), 'snapshots')
       AND assert_claimed((SELECT count(*) FROM node_claim), (SELECT count(*) FROM claimed), 'nodes')
       AND assert_claimed((SELECT count(*) FROM gpu_claim), (SELECT count(*) FROM claimed_gpu), 'GPU pools') AS granted
  ), vm AS (
    SELECT v.* FROM judged, json_to_recordset($3) AS
      v(id int, uuid uuid, organization_id int, environment_id int, user_id int, name text, flavor_id int, image_id int,
        user_data text, callback_url text, port_randomization boolean, created_at timestamptz, incarnation_id int, node int,
        vcpus int, memory_mib int, disk_gib int, gpu_model text, gpu_count int, placement jsonb, task_id uuid, hardware jsonb,
        fixed_ip inet, floating_ip_id int, callback_body text, keys json, labels json, rules json, restored_snapshot_id int)
     WHERE judged.granted
  ), inserted_vm AS (
    INSERT INTO virtual_machine (id, uuid, organization_id, environment_id, user_id, name, flavor_id, image_id, user_data,
                                 callback_url, port_randomization, desired_power, hardware, fixed_ip, created_at)
    SELECT id, uuid, organization_id, environment_id, user_id, name, flavor_id, image_id, user_data, callback_url,
           port_randomization, 'running', hardware, fixed_ip, created_at FROM vm
  ), inserted_incarnation AS (
    INSERT INTO incarnation (id, virtual_machine_id, compute_node_id, vcpus, memory_mib, disk_gib, gpu_model, gpu_count,
                             placement, created_at)
    SELECT incarnation_id, id, node, vcpus, memory_mib, disk_gib, gpu_model, gpu_count, placement, created_at FROM vm
  ), inserted_key AS (
    INSERT INTO virtual_machine_keypair (virtual_machine_id, position, keypair_id, name, public_key)
    SELECT vm.id, k.position, (k.key->>'id')::int, k.key->>'name', k.key->>'public_key'
      FROM vm, json_array_elements(vm.keys) WITH ORDINALITY AS k(key, position)
  ), inserted_label AS (
    INSERT INTO virtual_machine_label (virtual_machine_id, label)
    SELECT vm.id, l FROM vm, json_array_elements_text(vm.labels) AS l
  ), inserted_rule AS (
    INSERT INTO security_rule (virtual_machine_id, direction, ethertype, protocol, remote_ip_prefix, port_range_min,
                               port_range_max, created_at)
    SELECT vm.id, r.rule->>'direction', r.rule->>'ethertype', r.rule->>'protocol', r.rule->>'remoteIpPrefix',
           (r.rule->>'portMin')::int, (r.rule->>'portMax')::int, vm.created_at
      FROM vm, json_array_elements(vm.rules) WITH ORDINALITY AS r(rule, position) ORDER BY vm.id, r.position
  ), taken_ip AS (
    UPDATE floating_ip SET virtual_machine_id = vm.id FROM vm WHERE floating_ip.id = vm.floating_ip_id
  ), inserted_event AS (
    INSERT INTO event (organization_id, virtual_machine_id, user_id, time, reason, object, message)
    SELECT organization_id, id, user_id, created_at, 'InstanceCreationRequest', name, 'Creation was requested.' FROM vm
  ), inserted_snapshot_event AS (
    INSERT INTO event (organization_id, virtual_machine_id, snapshot_id, user_id, time, reason, object, message)
    SELECT s.organization_id, s.virtual_machine_id, s.id, vm.user_id, vm.created_at, 'SnapshotRestoreRequest', s.name,
           format('The virtual machine %s is being made of it.', vm.name)
      FROM vm JOIN snapshot s ON s.id = vm.restored_snapshot_id
  ), inserted_callback AS (
    INSERT INTO callback_delivery (id, organization_id, virtual_machine_id, url, body)
    SELECT gen_random_uuid(), organization_id, id, callback_url, callback_body FROM vm WHERE callback_body IS NOT NULL
  ), remembered AS (
    INSERT INTO idempotency_key (organization_id, key, request_hash, response)
    SELECT r.* FROM judged,
           json_to_recordset($4) AS r(organization_id int, key text, request_hash text, response jsonb)
     WHERE judged.granted
  ), kept_profile AS (
    INSERT INTO profile (organization_id, name, description, data)
    SELECT p.* FROM judged, json_to_recordset($7) AS p(organization_id int, name text, description text, data jsonb)
     WHERE judged.granted
  ), audited AS (
    ${insertAuditRows('$9')}, judged WHERE judged.granted
  )
  INSERT INTO task (id, compute_node_id, virtual_machine_id, incarnation_id, generation)
  SELECT task_id, node, id, incarnation_id, $5::int FROM vm`,
);

export const FIRST_GENERATION = 1;

/**
 * Makes the VMs of one request or of several, all or none.
 * @throws what PostgreSQL says: `CLAIM_LOST`, a unique violation of name, address or idempotency key, a deadlock.
 */
export async function insertVms(on: DataSource | EntityManager, insertions: readonly VmInsertion[]): Promise<void> {
  const vms = insertions.flatMap(rows);
  const remembered = insertions.flatMap(({ organizationId, idempotency }) =>
    idempotency === null
      ? []
      : [{ organization_id: organizationId, key: idempotency.key, request_hash: idempotency.requestHash, response: idempotency.response }],
  );
  const profiles = insertions.flatMap(({ organizationId, profile }) =>
    profile === null ? [] : [{ organization_id: organizationId, ...profile }],
  );
  await INSERT.run(on, [
    JSON.stringify(nodeClaims(insertions)),
    JSON.stringify(gpuClaims(insertions)),
    JSON.stringify(vms),
    JSON.stringify(remembered),
    FIRST_GENERATION,
    // Against an environment that is deleted at this very moment.
    [...new Set(insertions.map(({ environmentId }) => environmentId))],
    JSON.stringify(profiles),
    // Against a snapshot that is deleted at this very moment; with its VM, of which the event is, before any node.
    [...new Set(insertions.flatMap(({ snapshot }) => snapshot?.id ?? []))],
    JSON.stringify(insertions.map(({ audit }) => audit)),
  ]);
}

function rows(insertion: VmInsertion): object[] {
  return insertion.vms.map((vm) => ({
    id: vm.id,
    uuid: vm.uuid,
    organization_id: insertion.organizationId,
    environment_id: insertion.environmentId,
    user_id: insertion.userId,
    name: vm.name,
    flavor_id: insertion.flavorId,
    image_id: insertion.imageId,
    user_data: insertion.userData,
    callback_url: insertion.callbackUrl,
    port_randomization: insertion.portRandomization,
    created_at: insertion.createdAt,
    incarnation_id: vm.incarnationId,
    node: vm.node,
    ...insertion.claim,
    placement: insertion.placement,
    task_id: vm.taskId,
    hardware: vm.hardware,
    fixed_ip: vm.hardware.network.address,
    floating_ip_id: vm.floatingIpId,
    callback_body: vm.callbackBody,
    keys: insertion.keys,
    labels: insertion.labels,
    rules: insertion.rules,
    restored_snapshot_id: insertion.snapshot?.restored ? insertion.snapshot.id : null,
  }));
}

interface NodeClaim {
  readonly node: ComputeNodeId;
  vcpus: number;
  memory_mib: number;
  disk_gib: number;
}

/** Added up per node; in the order of their ids, so that statements lock several nodes in the same order. */
function nodeClaims(insertions: readonly VmInsertion[]): NodeClaim[] {
  const claims = new Map<ComputeNodeId, NodeClaim>();
  for (const { vms, claim, volumeGib } of insertions)
    for (const { node } of vms) {
      const sum = claims.get(node) ?? { node, vcpus: 0, memory_mib: 0, disk_gib: 0 };
      sum.vcpus += claim.vcpus;
      sum.memory_mib += claim.memory_mib;
      sum.disk_gib += claim.disk_gib + volumeGib;
      claims.set(node, sum);
    }
  return [...claims.values()].sort((a, b) => a.node - b.node);
}

function gpuClaims(insertions: readonly VmInsertion[]): object[] {
  const claims = new Map<string, { node: ComputeNodeId; model: string; count: number }>();
  for (const { vms, claim } of insertions)
    for (const { node } of claim.gpu_model === null ? [] : vms) {
      const key = `${node} ${claim.gpu_model}`;
      const sum = claims.get(key) ?? { node, model: claim.gpu_model!, count: 0 };
      sum.count += claim.gpu_count;
      claims.set(key, sum);
    }
  return [...claims.values()];
}
