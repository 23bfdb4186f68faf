/**
 * Brings what the network tables say of VMs (own security rules, those of their firewalls, the floating address) into
 * the VMs' desired state: a new generation and a task for each, set by set, in the caller's transaction.
 *
 * Owns `rules` and `floatingIp` in the hardware of a VM that is there; both are always derived anew from the tables, so
 * that of two changes at the same time the later one writes both. The caller has locked the VMs by `lockVms`: firewalls
 * first, then VMs, each in the order of ids. No status changes by it: a settled VM stays what it is, one on its way
 * stays on its way. A VM that switched itself off is not started for it.
 */
import type { EntityManager } from 'typeorm';
import type { OrganizationId, UserId, VmId } from '../../protocol/ids.js';
import { ApiError, badRequest, notFound } from '../http/api-error.js';
import type { VmStatus } from '../virtual-machines/vm-status.js';
import { beingSnapshotted } from '../virtual-machines/vm-wishes.js';

export interface LockedVm {
  readonly id: VmId;
  readonly name: string;
  readonly environment_id: number;
  readonly region_id: number;
  readonly status: VmStatus;
  readonly generation: number;
  /** It has a place on a node; without one, nothing is sent. */
  readonly placed: boolean;
  readonly is_snapshotting: boolean;
}

/** The VMs that are there, in the order of ids, locked until the end of the transaction. */
export async function lockVms(
  transaction: EntityManager,
  organizationId: OrganizationId,
  ids: readonly number[],
): Promise<LockedVm[]> {
  const locked = await transaction.query<{ id: VmId }[]>(
    `SELECT id FROM virtual_machine WHERE organization_id = $1 AND id = ANY($2) AND deleted_at IS NULL ORDER BY id FOR UPDATE`,
    [organizationId, ids],
  );
  // By a statement of its own: what the one that waited for the lock joins would be as it was before.
  return await transaction.query<LockedVm[]>(
    `SELECT vm.id, vm.name, vm.environment_id, e.region_id, vm.status, vm.generation, vm.hardware ? 'snapshot' AS is_snapshotting,
            EXISTS (SELECT 1 FROM incarnation i WHERE i.virtual_machine_id = vm.id AND i.ended_at IS NULL) AS placed
       FROM virtual_machine vm JOIN environment e ON e.id = vm.environment_id
      WHERE vm.id = ANY($1) ORDER BY vm.id`,
    [locked.map(({ id }) => id)],
  );
}

/** @throws ApiError 404; 400 when it is on its way out, or a snapshot of it is being taken. */
export async function lockVm(transaction: EntityManager, organizationId: OrganizationId, id: VmId): Promise<LockedVm> {
  const [vm] = await lockVms(transaction, organizationId, [id]);
  if (vm === undefined) throw notFound('The virtual machine');
  if (vm.status === 'DELETING') throw badRequest(`${vm.name} is being deleted; its network cannot be changed any more.`);
  if (vm.is_snapshotting) throw beingSnapshotted(vm.name);
  return vm;
}

/** @throws ApiError 400 when it is neither running nor switched off. */
export function requireSettled(vm: LockedVm): void {
  if (vm.status !== 'ACTIVE' && vm.status !== 'SHUTOFF')
    throw badRequest(`${vm.name} is ${vm.status}; this is possible when it is ACTIVE or SHUTOFF.`);
}

/** The generation in which a change that is being made will be in force. */
export const nextGeneration = (vm: Pick<LockedVm, 'generation' | 'placed'>): number => vm.generation + (vm.placed ? 1 : 0);

const EFFECTIVE_RULES = `
  SELECT coalesce(jsonb_agg(DISTINCT jsonb_build_object('direction', s.direction, 'ethertype', s.ethertype, 'protocol', s.protocol,
           'remoteIpPrefix', s.remote_ip_prefix, 'portMin', s.port_range_min, 'portMax', s.port_range_max)), '[]')
    FROM security_rule s
   WHERE s.virtual_machine_id = vm.id
      OR s.firewall_id IN (SELECT a.firewall_id FROM firewall_attachment a WHERE a.virtual_machine_id = vm.id)`;

/** Not one that is on its way back to the pool. */
const ADDRESS = `
  SELECT f.address FROM floating_ip f
   WHERE f.virtual_machine_id = vm.id AND (f.changed_for IS DISTINCT FROM vm.id OR NOT f.detaching) AND NOT vm.awaits_floating_ip`;

/** Each SET reads the row as it was: `observed_generation >= generation` is a VM that is settled before the change. */
const UPDATE = `
  WITH target AS (
    SELECT vm.id, i.id AS incarnation_id, i.compute_node_id, vm.generation + (i.id IS NOT NULL)::int AS generation
      FROM virtual_machine vm LEFT JOIN incarnation i ON i.virtual_machine_id = vm.id AND i.ended_at IS NULL
     WHERE vm.id = ANY($1)
  ), updated_vm AS (
    UPDATE virtual_machine vm
       SET generation = target.generation,
           operation = CASE WHEN vm.observed_generation >= vm.generation AND target.incarnation_id IS NOT NULL
                            THEN 'update' ELSE vm.operation END,
           desired_power = CASE WHEN vm.observed_generation >= vm.generation AND vm.desired_power = 'running' AND vm.observed = 'stopped'
                                THEN 'stopped' ELSE vm.desired_power END,
           hardware = (vm.hardware - 'floatingIp')
                      || jsonb_strip_nulls(jsonb_build_object('rules', (${EFFECTIVE_RULES}), 'floatingIp', (${ADDRESS})))
      FROM target WHERE vm.id = target.id
  ), superseded AS (
    UPDATE task t SET state = 'superseded', finished_at = now()
      FROM target WHERE t.virtual_machine_id = target.id AND t.state = 'pending' AND target.incarnation_id IS NOT NULL
  )
  INSERT INTO task (id, compute_node_id, virtual_machine_id, incarnation_id, generation)
  SELECT gen_random_uuid(), compute_node_id, id, incarnation_id, generation FROM target WHERE incarnation_id IS NOT NULL`;

/** To be followed, after the commit, by waking the relay. */
export async function updateVmNetworks(transaction: EntityManager, vms: readonly Pick<LockedVm, 'id'>[]): Promise<void> {
  if (vms.length > 0) await transaction.query(UPDATE, [vms.map(({ id }) => id)]);
}

/** One event for each VM, from Infrahub's catalogue. */
export async function writeNetworkEvents(
  transaction: EntityManager,
  by: { readonly organizationId: OrganizationId; readonly userId: UserId },
  vms: readonly Pick<LockedVm, 'id' | 'name'>[],
  reason: string,
  message: string,
): Promise<void> {
  if (vms.length === 0) return;
  await transaction.query(
    `INSERT INTO event (organization_id, virtual_machine_id, user_id, reason, object, message)
     SELECT $1::int, v.id, $2::int, $3::text, v.name, $4::text FROM json_to_recordset($5) AS v(id int, name text)`,
    [by.organizationId, by.userId, reason, message, JSON.stringify(vms.map(({ id, name }) => ({ id, name })))],
  );
}

export const noCapacity = (message: string): ApiError => new ApiError(409, message, 'no_capacity');
