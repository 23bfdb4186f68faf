/**
 * How a wish about VMs that are there is written: their rows locked, in the order of ids, then desired state, generation,
 * task, event and webhook in two statements, whatever their number.
 *
 * The race it excludes: a report, or another request, about the same VM. All lock the VM's row first.
 */
import { randomUUID } from 'node:crypto';
import type { EntityManager } from 'typeorm';
import type { ComputeNodeId, EnvironmentId, IncarnationId, OrganizationId, RegionId, TaskId, UserId, VmId } from '../../protocol/ids.js';
import type { DesiredPower, VmHardware } from '../../protocol/task.js';
import { badRequest, type ApiError } from '../http/api-error.js';
import type { Principal } from '../identity/principal.js';
import { deriveStatus, type Observed, type Operation, type VmStatus } from './vm-status.js';
import { writeStatusChanges, type EventText } from './vm-status-changes.js';

/** Which VMs a request is for. */
export type VmSelector =
  | { readonly id: VmId }
  | { readonly environment: string; readonly name: string }
  | { readonly environment: string; readonly label: string };

export interface LockedVm {
  readonly id: VmId;
  readonly organization_id: OrganizationId;
  readonly region_id: RegionId;
  readonly environment_id: EnvironmentId;
  readonly name: string;
  readonly generation: number;
  readonly observed: Observed;
  readonly observed_generation: number;
  readonly status: VmStatus;
  readonly flavor_id: number;
  readonly hardware: VmHardware;
  /** It gave its floating IP back when it was hibernated, and gets another when it comes back. */
  readonly awaits_floating_ip: boolean;
  readonly floating_ip: string | null;
  readonly has_callback: boolean;
  readonly incarnation_id: IncarnationId | null;
  readonly compute_node_id: ComputeNodeId | null;
  /** Its claim is on the disk alone. */
  readonly hibernated: boolean | null;
  /** Its node is being drained, and VMs there are stopped. */
  readonly node_stops_vms: boolean;
  readonly stopped_by_drain: boolean;
}

/** What its owner wants of a VM from now on. */
export interface Wish {
  readonly operation: Exclude<Operation, 'create'>;
  readonly desiredPower: DesiredPower;
  readonly flavorId: number;
  readonly hardware: VmHardware;
  readonly awaitsFloatingIp: boolean;
  /** It is the draining of its node that wants it. */
  readonly byDrain?: boolean;
  /** Why, where the operation does not tell it. */
  readonly event?: EventText;
}

const LOCK = `
  SELECT vm.id FROM virtual_machine vm JOIN environment e ON e.id = vm.environment_id
   WHERE vm.organization_id = $1 AND vm.deleted_at IS NULL`;

/** By a statement of its own: one that waits for a lock sees the locked row anew, and all that it joins as it was before. */
const READ = `
  SELECT vm.id, vm.organization_id, e.region_id, vm.environment_id, vm.name, vm.generation, vm.observed, vm.observed_generation, vm.status,
         vm.flavor_id, vm.hardware, vm.awaits_floating_ip, ip.address AS floating_ip,
         vm.callback_url IS NOT NULL AS has_callback, i.id AS incarnation_id, i.compute_node_id, i.hibernated,
         coalesce(n.draining AND n.drain_stops, false) AS node_stops_vms, vm.stopped_by_drain
    FROM virtual_machine vm
    JOIN environment e ON e.id = vm.environment_id
    LEFT JOIN incarnation i ON i.virtual_machine_id = vm.id AND i.ended_at IS NULL
    LEFT JOIN compute_node n ON n.id = i.compute_node_id
    LEFT JOIN floating_ip ip ON ip.virtual_machine_id = vm.id
   WHERE vm.id = ANY($1) ORDER BY vm.id`;

const WRITE = `
  WITH w AS (
    SELECT * FROM json_to_recordset($1) AS w(vm_id int, desired_power text, operation text, generation int, status text,
      flavor_id int, hardware jsonb, awaits_floating_ip boolean, observed text, observed_generation int, gone boolean, stopped_by_drain boolean,
      task_id uuid, incarnation_id int, compute_node_id int)
  ), updated_vm AS (
    UPDATE virtual_machine vm
       SET desired_power = w.desired_power, operation = w.operation, generation = w.generation, status = w.status,
           flavor_id = w.flavor_id, hardware = w.hardware, awaits_floating_ip = w.awaits_floating_ip,
           observed = w.observed, observed_generation = w.observed_generation, fault = NULL,
           stopped_by_drain = w.stopped_by_drain,
           deleted_at = CASE WHEN w.gone THEN now() END
      FROM w WHERE vm.id = w.vm_id
  ), released_ip AS (
    UPDATE floating_ip f SET virtual_machine_id = NULL FROM w WHERE f.virtual_machine_id = w.vm_id AND w.gone
  ), superseded AS (
    UPDATE task t SET state = 'superseded', finished_at = now()
      FROM w WHERE t.virtual_machine_id = w.vm_id AND t.state = 'pending'
  )
  INSERT INTO task (id, compute_node_id, virtual_machine_id, incarnation_id, generation)
  SELECT task_id, compute_node_id, vm_id, incarnation_id, generation FROM w WHERE NOT gone`;

/** Nothing else may be asked of a VM meanwhile. */
export const beingSnapshotted = (name: string): ApiError =>
  badRequest(`A snapshot of ${name} is being taken. Try again when it is complete.`);

/**
 * The VMs as they are, and as they stay until the transaction ends. Their rows are never deleted, so that what refers to
 * them (events, metrics, webhooks) has nothing to wait for.
 */
export async function lockVms(transaction: EntityManager, principal: Principal, selector: VmSelector): Promise<LockedVm[]> {
  const { condition, parameters } = where(selector);
  const locked = await transaction.query<{ id: VmId }[]>(`${LOCK} AND ${condition} ORDER BY vm.id FOR NO KEY UPDATE OF vm`, [
    principal.organizationId,
    ...parameters,
  ]);
  return await transaction.query<LockedVm[]>(READ, [locked.map(({ id }) => id)]);
}

/** For what the cloud itself wants of a VM. @returns undefined when it is gone, or when somebody else has it in hand. */
export async function lockVmForCloud(transaction: EntityManager, id: VmId): Promise<LockedVm | undefined> {
  const locked = await transaction.query<unknown[]>(
    'SELECT id FROM virtual_machine WHERE id = $1 AND deleted_at IS NULL FOR NO KEY UPDATE SKIP LOCKED',
    [id],
  );
  if (locked.length === 0) return undefined;
  const [vm] = await transaction.query<LockedVm[]>(READ, [[id]]);
  return vm;
}

function where(selector: VmSelector): { condition: string; parameters: unknown[] } {
  if ('id' in selector) return { condition: 'vm.id = $2', parameters: [selector.id] };
  if ('name' in selector)
    return { condition: 'e.name = $2 AND vm.name = $3', parameters: [selector.environment, selector.name] };
  return {
    condition: `e.name = $2 AND EXISTS (
      SELECT 1 FROM virtual_machine_label l WHERE l.virtual_machine_id = vm.id AND l.label = $3)`,
    parameters: [selector.environment, selector.label],
  };
}

/** @param by whoever wishes it; a `userId` of null is the cloud itself. */
export async function writeWishes(transaction: EntityManager, by: { readonly userId: UserId | null }, wishes: ReadonlyMap<LockedVm, Wish>): Promise<void> {
  if (wishes.size === 0) return;
  const rows = [...wishes].map(([vm, wish]) => rowOf(vm, wish));
  await transaction.query(WRITE, [JSON.stringify(rows)]);
  await writeStatusChanges(
    transaction,
    [...wishes].map(([vm, { event }], index) => ({
      vmId: vm.id,
      organizationId: vm.organization_id,
      name: vm.name,
      from: vm.status,
      status: rows[index]!.status,
      observed: vm.observed,
      fault: null,
      userId: by.userId,
      hasCallback: vm.has_callback,
      ...(event !== undefined && { event }),
    })),
  );
}

/** A VM that has no place on any node any more can only be deleted, and is gone at once. */
function rowOf(vm: LockedVm, { operation, desiredPower, flavorId, hardware, awaitsFloatingIp, byDrain = false }: Wish) {
  const generation = vm.generation + 1;
  const gone = vm.incarnation_id === null;
  const observed: Observed = gone ? 'absent' : vm.observed;
  const observedGeneration = gone ? generation : vm.observed_generation;
  return {
    vm_id: vm.id,
    desired_power: desiredPower,
    operation,
    generation,
    status: deriveStatus({ desiredPower, operation, generation, observed, observedGeneration }),
    flavor_id: flavorId,
    hardware,
    awaits_floating_ip: awaitsFloatingIp,
    observed,
    observed_generation: observedGeneration,
    gone,
    stopped_by_drain: byDrain && desiredPower === 'stopped',
    task_id: randomUUID() as TaskId,
    incarnation_id: vm.incarnation_id,
    compute_node_id: vm.compute_node_id,
  };
}
