/**
 * What users ask of VMs that are there: start, stop, hard-reboot, delete; one by id or name, or all that carry a
 * label. An action only writes the wish (desired power, a new generation, a task). What comes of it is reported.
 *
 * The race it excludes: a report, or another request, about the same VM. All lock the VM's row first, in the order of
 * ids. A VM that has no place on any node any more can only be deleted, and is gone at once.
 */
import { Injectable } from '@nestjs/common';
import { randomUUID } from 'node:crypto';
import { DataSource, type EntityManager } from 'typeorm';
import type { ComputeNodeId, IncarnationId, OrganizationId, TaskId, VmId } from '../../protocol/ids.js';
import type { VmHardware } from '../../protocol/task.js';
import { CallbackDeliverer } from '../callbacks/callback-deliverer.js';
import { badRequest, notFound } from '../http/api-error.js';
import type { Principal } from '../identity/principal.js';
import { TaskRelay } from '../tasks/task-relay.js';
import { LabelActionResponse } from './vm.dto.js';
import { VmQueries } from './vm-queries.js';
import { ACTIONS, deriveStatus, isAllowed, type Observed, type VmAction, type VmStatus } from './vm-status.js';
import { writeStatusChanges } from './vm-status-changes.js';

/** Which VMs an action is for. */
export type VmSelector =
  | { readonly id: VmId }
  | { readonly environment: string; readonly name: string }
  | { readonly environment: string; readonly label: string };

interface VmRow {
  readonly id: VmId;
  readonly organization_id: OrganizationId;
  readonly name: string;
  readonly generation: number;
  readonly observed: Observed;
  readonly observed_generation: number;
  readonly status: VmStatus;
  readonly hardware: VmHardware;
  readonly has_callback: boolean;
  readonly incarnation_id: IncarnationId | null;
  readonly compute_node_id: ComputeNodeId | null;
}

const LOCK = `
  SELECT vm.id, vm.organization_id, vm.name, vm.generation, vm.observed, vm.observed_generation, vm.status, vm.hardware,
         vm.callback_url IS NOT NULL AS has_callback, i.id AS incarnation_id, i.compute_node_id
    FROM virtual_machine vm
    JOIN environment e ON e.id = vm.environment_id
    LEFT JOIN incarnation i ON i.virtual_machine_id = vm.id AND i.ended_at IS NULL
   WHERE vm.organization_id = $1 AND vm.deleted_at IS NULL`;

const WRITE = `
  WITH w AS (
    SELECT * FROM json_to_recordset($1) AS w(vm_id int, desired_power text, operation text, generation int, status text,
      hardware jsonb, observed text, observed_generation int, gone boolean, task_id uuid, incarnation_id int, compute_node_id int)
  ), updated_vm AS (
    UPDATE virtual_machine vm
       SET desired_power = w.desired_power, operation = w.operation, generation = w.generation, status = w.status,
           hardware = w.hardware, observed = w.observed, observed_generation = w.observed_generation, fault = NULL,
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

@Injectable()
export class VmActions {
  constructor(
    private readonly dataSource: DataSource,
    private readonly queries: VmQueries,
    private readonly relay: TaskRelay,
    private readonly deliverer: CallbackDeliverer,
  ) {}

  /** @returns the VM's name. @throws ApiError 404, or 400 in a state that the action is not for. */
  async actOnOne(principal: Principal, action: VmAction, selector: VmSelector): Promise<string> {
    const { rows, refusals } = await this.act(principal, action, selector);
    const [row] = rows;
    if (row === undefined) throw notFound('The virtual machine');
    const refusal = refusals.get(row);
    if (refusal !== undefined) throw badRequest(refusal);
    return row.name;
  }

  /** Those that the action is not for now are told, and do not keep the others. */
  async actOnLabelled(principal: Principal, action: VmAction, environment: string, label: string): Promise<LabelActionResponse> {
    const { rows, refusals } = await this.act(principal, action, { environment, label });
    if (rows.length === 0) await this.queries.requireEnvironment(principal.organizationId, environment);
    const response = new LabelActionResponse(
      rows.length === 0
        ? `No virtual machine in ${environment} carries the label ${label}; nothing was done`
        : `${action}: ${rows.length - refusals.size} of ${rows.length} virtual machines with the label ${label}`,
    );
    response.instances = rows.map((row) => ({
      id: row.id,
      name: row.name,
      accepted: !refusals.has(row),
      message: refusals.get(row) ?? '',
    }));
    return response;
  }

  private async act(principal: Principal, action: VmAction, selector: VmSelector) {
    const { condition, parameters } = where(selector);
    const result = await this.dataSource.transaction(async (transaction) => {
      const rows = await transaction.query<VmRow[]>(`${LOCK} AND ${condition} ORDER BY vm.id FOR UPDATE OF vm`, [
        principal.organizationId,
        ...parameters,
      ]);
      const refusals = new Map(rows.flatMap((row) => refusalOf(action, row).map((words) => [row, words] as const)));
      const accepted = rows.filter((row) => !refusals.has(row));
      // What is on its way out needs no second push.
      const changed = accepted.filter((row) => row.status !== 'DELETING');
      await this.write(transaction, principal, action, changed);
      return { rows, refusals, changed };
    });
    if (result.changed.length > 0) this.relay.wake();
    if (result.changed.some((row) => row.has_callback)) this.deliverer.wake();
    return result;
  }

  private async write(transaction: EntityManager, principal: Principal, action: VmAction, rows: readonly VmRow[]): Promise<void> {
    if (rows.length === 0) return;
    const wishes = rows.map((row) => wish(action, row));
    await transaction.query(WRITE, [JSON.stringify(wishes)]);
    await writeStatusChanges(
      transaction,
      rows.map((row, index) => ({
        vmId: row.id,
        organizationId: row.organization_id,
        name: row.name,
        from: row.status,
        status: wishes[index]!.status,
        observed: row.observed,
        fault: null,
        userId: principal.userId,
        hasCallback: row.has_callback,
      })),
    );
  }
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

function refusalOf(action: VmAction, row: VmRow): string[] {
  const placed = row.incarnation_id !== null;
  if (isAllowed(action, row.status, placed)) return [];
  if (isAllowed(action, row.status, true))
    return [`${row.name} could not be made and has no place on a node. Delete it and create it anew.`];
  const states = ACTIONS[action].allowedIn.filter((status) => status !== 'DELETING');
  return [`${row.name} is ${row.status}; ${action} is possible when it is ${states.join(' or ')}.`];
}

/** What is to be written for one VM. */
function wish(action: VmAction, row: VmRow) {
  const { desiredPower } = ACTIONS[action];
  const generation = row.generation + 1;
  const gone = row.incarnation_id === null;
  const observed: Observed = gone ? 'absent' : row.observed;
  const observedGeneration = gone ? generation : row.observed_generation;
  return {
    vm_id: row.id,
    desired_power: desiredPower,
    operation: action,
    generation,
    status: deriveStatus({ desiredPower, operation: action, generation, observed, observedGeneration }),
    hardware: action === 'hard-reboot' ? { ...row.hardware, resets: (row.hardware.resets ?? 0) + 1 } : row.hardware,
    observed,
    observed_generation: observedGeneration,
    gone,
    task_id: randomUUID() as TaskId,
    incarnation_id: row.incarnation_id,
    compute_node_id: row.compute_node_id,
  };
}
