/** Firewalls and the VMs they are attached to, as statements of a transaction. Locks: firewalls first, then VMs. */
import type { EntityManager } from 'typeorm';
import type { OrganizationId } from '../../protocol/ids.js';
import { notFound } from '../http/api-error.js';
import { lockVms, nextGeneration, updateVmNetworks, type LockedVm } from '../security-rules/vm-network-update.js';

export interface LockedFirewall {
  readonly id: number;
  readonly name: string;
  readonly environment_id: number;
}

/** @throws ApiError 404 when one of them is not there. */
export async function lockFirewalls(
  transaction: EntityManager,
  organizationId: OrganizationId,
  ids: readonly number[],
): Promise<LockedFirewall[]> {
  const rows = await transaction.query<LockedFirewall[]>(
    `SELECT f.id, f.name, f.environment_id FROM firewall f JOIN environment e ON e.id = f.environment_id
      WHERE e.organization_id = $1 AND e.deleted_at IS NULL AND f.id = ANY($2)
      ORDER BY f.id FOR UPDATE OF f`,
    [organizationId, ids],
  );
  const missing = ids.find((id) => !rows.some((row) => row.id === id));
  if (missing !== undefined) throw notFound(ids.length === 1 ? 'The firewall' : `The firewall ${missing}`);
  return rows;
}

export async function attachedVmIds(transaction: EntityManager, firewallId: number): Promise<number[]> {
  const rows = await transaction.query<{ id: number }[]>(
    'SELECT virtual_machine_id AS id FROM firewall_attachment WHERE firewall_id = $1',
    [firewallId],
  );
  return rows.map(({ id }) => id);
}

/** After a change of the firewall's rules. */
export async function updateAttached(transaction: EntityManager, organizationId: OrganizationId, firewallId: number): Promise<void> {
  const locked = await lockVms(transaction, organizationId, await attachedVmIds(transaction, firewallId));
  const vms = locked.filter(({ status }) => status !== 'DELETING');
  await noteGenerations(transaction, firewallId, vms);
  await updateVmNetworks(transaction, vms);
}

export async function attach(transaction: EntityManager, firewallId: number, vms: readonly LockedVm[]): Promise<void> {
  if (vms.length === 0) return;
  await transaction.query(
    `INSERT INTO firewall_attachment (firewall_id, virtual_machine_id, generation)
     SELECT $1::int, v.id, v.generation FROM json_to_recordset($2) AS v(id int, generation int)
     ON CONFLICT (firewall_id, virtual_machine_id) DO NOTHING`,
    [firewallId, generationsOf(vms)],
  );
}

async function noteGenerations(transaction: EntityManager, firewallId: number, vms: readonly LockedVm[]): Promise<void> {
  await transaction.query(
    `UPDATE firewall_attachment a SET generation = v.generation
       FROM json_to_recordset($2) AS v(id int, generation int)
      WHERE a.firewall_id = $1 AND a.virtual_machine_id = v.id`,
    [firewallId, generationsOf(vms)],
  );
}

const generationsOf = (vms: readonly LockedVm[]): string =>
  JSON.stringify(vms.map((vm) => ({ id: vm.id, generation: nextGeneration(vm) })));
