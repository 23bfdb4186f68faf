/**
 * Reads what differs between the database and the last inventories of the nodes that are up. A superset by SQL (all that
 * does not plainly agree), judged by the policy's pure function.
 *
 * An inventory is not believed about a VM of which a report was accepted that was made after it was begun, nor while a
 * task for it is under way: what it shows may be on its way already.
 */
import type { ComputeNodeId, IncarnationId, OrganizationId, VmId } from '../../protocol/ids.js';
import type { InventoryItem } from '../../protocol/node.js';
import type { DesiredPower } from '../../protocol/task.js';
import type { Observed, Operation, VmStatus } from '../virtual-machines/vm-status.js';
import { driftOf, type DriftKind } from './drift-policy.js';

type Query = { query<Row>(sql: string, parameters?: unknown[]): Promise<Row> };

/** A drift as it was found, by its key: node, domain and kind. */
export interface FoundDrift {
  readonly kind: DriftKind;
  readonly nodeId: ComputeNodeId;
  readonly domainUuid: string;
  readonly domainName: string;
  readonly vmId: VmId | null;
  readonly incarnationId: IncarnationId | null;
  readonly state: InventoryItem['state'] | null;
}

/** A VM that is settled, with its row as it is. */
export interface DriftedVm {
  readonly id: VmId;
  readonly organizationId: OrganizationId;
  readonly name: string;
  readonly desiredPower: DesiredPower;
  readonly operation: Operation;
  readonly generation: number;
  readonly observed: Observed;
  readonly status: VmStatus;
}

interface LiveRow extends DriftedVm {
  readonly uuid: string;
  readonly hasGpu: boolean;
  readonly nodeId: ComputeNodeId;
  readonly incarnationId: IncarnationId;
  readonly state: InventoryItem['state'] | null;
  readonly paused: true | null;
  readonly shutDown: true | null;
  readonly diskMissing: true | null;
}

export interface LiveDrift extends FoundDrift {
  readonly vm: DriftedVm;
}

const FRESH = `
  SELECT h.compute_node_id, h.inventory, h.foreign_domains, h.inventory_sequence
    FROM compute_node_heartbeat h JOIN compute_node n ON n.id = h.compute_node_id
   WHERE h.beat_at > now() - make_interval(secs => n.lease_seconds) AND h.inventory_sequence IS NOT NULL
     AND ($1::int IS NULL OR n.id = $1)`;

const DOMAINS = `
  SELECT f.compute_node_id, f.inventory_sequence, d.*
    FROM fresh f CROSS JOIN jsonb_to_recordset(f.inventory)
      AS d("vmUuid" uuid, "incarnationId" int, state text, paused boolean, "shutDown" boolean, "diskMissing" boolean)`;

/** Of the VM `vm`: nothing is under way. */
export const SETTLED = `
  vm.observed_generation >= vm.generation AND vm.observed NOT IN ('nothing', 'undone', 'building')
  AND NOT EXISTS (SELECT 1 FROM task t WHERE t.virtual_machine_id = vm.id AND t.state IN ('pending', 'published'))`;

/** Of VM $2 on node $1 alone, or of all. */
const LIVE = `
  WITH fresh AS MATERIALIZED (${FRESH}), domain AS MATERIALIZED (${DOMAINS})
  SELECT vm.id, vm.uuid, vm.organization_id AS "organizationId", vm.name, vm.desired_power AS "desiredPower", vm.operation,
         vm.generation, vm.observed, vm.status, vm.hardware ? 'gpu' AS "hasGpu", i.compute_node_id AS "nodeId",
         i.id AS "incarnationId", d.state, d.paused, d."shutDown", d."diskMissing"
    FROM fresh f
    JOIN incarnation i ON i.compute_node_id = f.compute_node_id AND i.claimed AND i.ended_at IS NULL AND i.last_sequence <= f.inventory_sequence
    JOIN virtual_machine vm ON vm.id = i.virtual_machine_id
    LEFT JOIN domain d ON d.compute_node_id = i.compute_node_id AND d."incarnationId" = i.id AND d."vmUuid" = vm.uuid
   WHERE vm.deleted_at IS NULL AND ($2::int IS NULL OR vm.id = $2)
     AND (d.state IS DISTINCT FROM vm.observed OR vm.observed <> vm.desired_power OR d.paused OR d."diskMissing")
     AND ${SETTLED}`;

/** Domains of ours that are no living incarnation of their node. */
const STALE = `
  WITH fresh AS MATERIALIZED (${FRESH}), domain AS MATERIALIZED (${DOMAINS})
  SELECT CASE WHEN i.id IS NULL THEN 'unknown-incarnation' ELSE 'ended-incarnation' END AS kind, d.compute_node_id AS "nodeId",
         d."vmUuid" AS "domainUuid", coalesce(vm.name, 'baton-' || d."vmUuid") AS "domainName", vm.id AS "vmId",
         i.id AS "incarnationId", d.state
    FROM domain d
    LEFT JOIN virtual_machine vm ON vm.uuid = d."vmUuid"
    LEFT JOIN incarnation i ON i.id = d."incarnationId" AND i.compute_node_id = d.compute_node_id AND i.virtual_machine_id = vm.id
   WHERE i.id IS NULL
      OR i.ended_at IS NOT NULL AND i.last_sequence <= d.inventory_sequence
         AND NOT EXISTS (SELECT 1 FROM task t WHERE t.incarnation_id = i.id AND t.state IN ('pending', 'published'))`;

const FOREIGN = `
  WITH fresh AS MATERIALIZED (${FRESH})
  SELECT 'foreign-domain' AS kind, f.compute_node_id AS "nodeId", d.uuid AS "domainUuid", d.name AS "domainName",
         NULL::int AS "vmId", NULL::int AS "incarnationId", NULL AS state
    FROM fresh f CROSS JOIN jsonb_to_recordset(f.foreign_domains) AS d(uuid uuid, name text)`;

export async function findDrift(on: Query): Promise<FoundDrift[]> {
  const [live, stale, foreign] = await Promise.all([
    findLiveDrift(on, null, null),
    findStaleDrift(on, null),
    on.query<FoundDrift[]>(FOREIGN, [null]),
  ]);
  return [...live, ...stale, ...foreign];
}

/** Of one VM on its node, or of all. */
export async function findLiveDrift(on: Query, nodeId: ComputeNodeId | null, vmId: VmId | null): Promise<LiveDrift[]> {
  const rows = await on.query<LiveRow[]>(LIVE, [nodeId, vmId]);
  return rows.flatMap((vm) => {
    const kind = driftOf(vm, itemOf(vm));
    const { nodeId, uuid: domainUuid, name: domainName, id, incarnationId, state } = vm;
    return kind === undefined ? [] : [{ kind, nodeId, domainUuid, domainName, vmId: id, incarnationId, state, vm }];
  });
}

export const findStaleDrift = (on: Query, nodeId: ComputeNodeId | null): Promise<FoundDrift[]> =>
  on.query<FoundDrift[]>(STALE, [nodeId]);

function itemOf({ uuid, incarnationId, state, paused, shutDown, diskMissing }: LiveRow): InventoryItem | undefined {
  if (state === null) return undefined;
  return {
    vmUuid: uuid as InventoryItem['vmUuid'],
    incarnationId,
    state,
    ...(paused && { paused }),
    ...(shutDown && { shutDown }),
    ...(diskMissing && { diskMissing }),
  };
}
