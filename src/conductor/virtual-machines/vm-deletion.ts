/**
 * Deletes VMs: by id, by name, or all that carry a label. It only writes the wish (desired power `absent`, a new
 * generation, a task); the row is marked as deleted when the worker reports that nothing is left on the node. A VM
 * that has no place on any node any more is gone at once.
 */
import { Injectable } from '@nestjs/common';
import { randomUUID } from 'node:crypto';
import { DataSource, type EntityManager } from 'typeorm';
import type { ComputeNodeId, IncarnationId, OrganizationId, TaskId, VmId } from '../../protocol/ids.js';
import type { VmSpec } from '../../protocol/task.js';
import { CallbackDeliverer } from '../callbacks/callback-deliverer.js';
import { badRequest, notFound } from '../http/api-error.js';
import type { Principal } from '../identity/principal.js';
import { TaskRelay } from '../tasks/task-relay.js';
import { LabelActionResponse } from './vm.dto.js';
import { VmQueries } from './vm-queries.js';
import { deriveStatus, isAllowed, type Observed, type VmStatus } from './vm-status.js';
import { writeStatusChanges, type StatusChange } from './vm-status-changes.js';

interface DeletionRow {
  readonly id: VmId;
  readonly organization_id: OrganizationId;
  readonly name: string;
  readonly generation: number;
  readonly observed: Observed;
  readonly observed_generation: number;
  readonly status: VmStatus;
  readonly has_callback: boolean;
  readonly incarnation_id: IncarnationId | null;
  readonly compute_node_id: ComputeNodeId | null;
  readonly spec: VmSpec | null;
}

/** The latest task of the incarnation has the specification that its removal is derived from. */
const LOCK = `
  SELECT vm.id, vm.organization_id, vm.name, vm.generation, vm.observed, vm.observed_generation, vm.status,
         vm.callback_url IS NOT NULL AS has_callback, i.id AS incarnation_id, i.compute_node_id, t.spec
    FROM virtual_machine vm
    JOIN environment e ON e.id = vm.environment_id
    LEFT JOIN incarnation i ON i.virtual_machine_id = vm.id AND i.ended_at IS NULL
    LEFT JOIN LATERAL (SELECT spec FROM task WHERE incarnation_id = i.id ORDER BY generation DESC LIMIT 1) t ON true
   WHERE vm.organization_id = $1 AND vm.deleted_at IS NULL`;

const WRITE = `
  WITH d AS (
    SELECT * FROM json_to_recordset($1) AS d(vm_id int, generation int, status text, gone boolean, task_id uuid,
                                             incarnation_id int, compute_node_id int, spec jsonb)
  ), updated_vm AS (
    UPDATE virtual_machine vm
       SET desired_power = 'absent', generation = d.generation, status = d.status, fault = NULL,
           deleted_at = CASE WHEN d.gone THEN now() END
      FROM d WHERE vm.id = d.vm_id
  ), released_ip AS (
    UPDATE floating_ip f SET virtual_machine_id = NULL FROM d WHERE f.virtual_machine_id = d.vm_id AND d.gone
  ), superseded AS (
    UPDATE task t SET state = 'superseded', finished_at = now()
      FROM d WHERE t.virtual_machine_id = d.vm_id AND t.state = 'pending'
  )
  INSERT INTO task (id, compute_node_id, virtual_machine_id, incarnation_id, generation, spec)
  SELECT task_id, compute_node_id, vm_id, incarnation_id, generation, spec FROM d WHERE NOT gone`;

@Injectable()
export class VmDeletion {
  constructor(
    private readonly dataSource: DataSource,
    private readonly queries: VmQueries,
    private readonly relay: TaskRelay,
    private readonly deliverer: CallbackDeliverer,
  ) {}

  async deleteById(principal: Principal, id: VmId): Promise<string> {
    return this.deleteOne(principal, 'vm.id = $2', [id]);
  }

  async deleteByName(principal: Principal, environment: string, name: string): Promise<string> {
    return this.deleteOne(principal, 'e.name = $2 AND vm.name = $3', [environment, name]);
  }

  /** Those that cannot be deleted now are told, and do not keep the others. */
  async deleteByLabel(principal: Principal, environment: string, label: string): Promise<LabelActionResponse> {
    const condition = `e.name = $2 AND EXISTS (
      SELECT 1 FROM virtual_machine_label l WHERE l.virtual_machine_id = vm.id AND l.label = $3)`;
    const { rows, accepted } = await this.delete(principal, condition, [environment, label]);
    if (rows.length === 0) await this.queries.requireEnvironment(principal.organizationId, environment);
    const response = new LabelActionResponse(
      rows.length === 0
        ? `No virtual machine in ${environment} carries the label ${label}; nothing was deleted`
        : `Deleting ${accepted.length} of ${rows.length} virtual machines with the label ${label}`,
    );
    response.instances = rows.map((row) => {
      const taken = accepted.includes(row);
      return { id: row.id, name: row.name, accepted: taken, message: taken ? '' : refusal(row) };
    });
    return response;
  }

  private async deleteOne(principal: Principal, condition: string, parameters: unknown[]): Promise<string> {
    const { rows, accepted } = await this.delete(principal, condition, parameters);
    const [row] = rows;
    if (row === undefined) throw notFound('The virtual machine');
    if (accepted.length === 0) throw badRequest(refusal(row));
    return row.name;
  }

  private async delete(principal: Principal, condition: string, parameters: unknown[]) {
    const result = await this.dataSource.transaction(async (transaction) => {
      const rows = await transaction.query<DeletionRow[]>(`${LOCK} AND ${condition} ORDER BY vm.id FOR UPDATE OF vm`, [
        principal.organizationId,
        ...parameters,
      ]);
      const accepted = rows.filter((row) => isAllowed('delete', row.status));
      await this.write(transaction, principal, accepted.filter((row) => row.status !== 'DELETING'));
      return { rows, accepted };
    });
    if (result.accepted.length > 0) this.relay.wake();
    if (result.accepted.some((row) => row.has_callback)) this.deliverer.wake();
    return result;
  }

  private async write(transaction: EntityManager, principal: Principal, rows: readonly DeletionRow[]): Promise<void> {
    if (rows.length === 0) return;
    const deletions = rows.map((row) => {
      const gone = row.incarnation_id === null;
      const generation = row.generation + 1;
      const observedGeneration = gone ? generation : row.observed_generation;
      const observed = gone ? 'absent' : row.observed;
      return {
        vm_id: row.id,
        generation,
        status: deriveStatus({ desiredPower: 'absent', generation, observed, observedGeneration }),
        gone,
        task_id: randomUUID() as TaskId,
        incarnation_id: row.incarnation_id,
        compute_node_id: row.compute_node_id,
        spec: row.spec && { ...row.spec, power: 'absent' as const },
      };
    });
    await transaction.query(WRITE, [JSON.stringify(deletions)]);
    const changes = rows.map((row, index): StatusChange => {
      const { id, organization_id, name, status, observed, has_callback } = row;
      const common = { vmId: id, organizationId: organization_id, name, observed, fault: null };
      return { ...common, from: status, status: deletions[index]!.status, userId: principal.userId, hasCallback: has_callback };
    });
    await writeStatusChanges(transaction, changes);
  }
}

const refusal = ({ name, status }: DeletionRow): string =>
  `${name} is ${status} and cannot be deleted now. Wait until it is ACTIVE or ERROR.`;
