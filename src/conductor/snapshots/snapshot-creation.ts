/**
 * Asks for snapshots: of one VM by id or name, or of all that carry a label. The wish is a part of the VM's desired
 * state, so it travels the road of every other one; what comes of it is reported and taken in by `snapshot-reports.ts`.
 *
 * Owns `snapshot` in the hardware of a VM until then, which is also what says that the VM is being snapshotted and
 * nothing else may be asked of it. Races: the VM's row is locked first, so that one of two requests sees the other's
 * wish; the node's room for the copy is claimed by the conditional UPDATE that decides every race for room.
 */
import { Injectable } from '@nestjs/common';
import { randomUUID } from 'node:crypto';
import { DataSource, type EntityManager } from 'typeorm';
import type { ComputeNodeId } from '../../protocol/ids.js';
import { change, writeAudit } from '../audit/change.js';
import { CallbackDeliverer } from '../callbacks/callback-deliverer.js';
import { violatedUnique } from '../database/database-error.js';
import { ApiError, alreadyExists, badRequest, notFound } from '../http/api-error.js';
import type { Principal } from '../identity/principal.js';
import { quotaRefusal } from '../quotas/quota-refusal.js';
import { TaskRelay } from '../tasks/task-relay.js';
import { VmQueries } from '../virtual-machines/vm-queries.js';
import type { VmStatus } from '../virtual-machines/vm-status.js';
import { LabelActionResponse } from '../virtual-machines/vm.responses.js';
import { beingSnapshotted, lockVms, type LockedVm, type VmSelector } from '../virtual-machines/vm-wishes.js';
import { writeSnapshotNews } from './snapshot-news.js';
import { MAX_SNAPSHOT_NAME_LENGTH, type CreateSnapshotPayload } from './snapshot.requests.js';
import type { SnapshotFields } from './snapshot.responses.js';
import { CREATED_WITHIN_MINUTES } from './snapshot-status.js';
import { renderSnapshot, SELECT_SNAPSHOT, type SnapshotRow } from './snapshot-view.js';

const POSSIBLE_IN: readonly VmStatus[] = ['ACTIVE', 'SHUTOFF'];

const CLAIM = `
  UPDATE compute_node SET disk_gib_used = disk_gib_used + $2::int WHERE id = $1 AND disk_gib_used + $2::bigint <= disk_gib_total`;

const INSERT = `
  INSERT INTO snapshot (uuid, organization_id, environment_id, user_id, virtual_machine_id, compute_node_id, flavor_id, name,
                        description, labels, has_floating_ip, state, generation, size_gib, claimed_gib, deadline_at)
  SELECT $1, vm.organization_id, vm.environment_id, $3, vm.id, $4, vm.flavor_id, $5, $6, $7, $8, 'CREATING', vm.generation + 1, $9, $9,
         now() + make_interval(mins => ${CREATED_WITHIN_MINUTES})
    FROM virtual_machine vm WHERE vm.id = $2 RETURNING id`;

/** Each SET reads the row as it was: a VM that is settled stays what it is meanwhile; one that switched itself off stays off. */
const WISH = `
  WITH updated_vm AS (
    UPDATE virtual_machine vm
       SET generation = vm.generation + 1,
           operation = CASE WHEN vm.observed_generation >= vm.generation THEN 'update' ELSE vm.operation END,
           desired_power = CASE WHEN vm.observed_generation >= vm.generation AND vm.desired_power = 'running' AND vm.observed = 'stopped'
                                THEN 'stopped' ELSE vm.desired_power END,
           hardware = vm.hardware || jsonb_build_object('snapshot', jsonb_build_object('uuid', $2::text))
     WHERE vm.id = $1 RETURNING vm.id, vm.generation
  ), superseded AS (
    UPDATE task t SET state = 'superseded', finished_at = now() WHERE t.virtual_machine_id = $1 AND t.state = 'pending'
  )
  INSERT INTO task (id, compute_node_id, virtual_machine_id, incarnation_id, generation)
  SELECT gen_random_uuid(), i.compute_node_id, vm.id, i.id, vm.generation
    FROM updated_vm vm JOIN incarnation i ON i.virtual_machine_id = vm.id AND i.ended_at IS NULL`;

@Injectable()
export class SnapshotCreation {
  constructor(
    private readonly dataSource: DataSource,
    private readonly queries: VmQueries,
    private readonly relay: TaskRelay,
    private readonly deliverer: CallbackDeliverer,
  ) {}

  /** @throws ApiError 404, 400 in a state that allows none, 403 beyond the quota, 409 for a name that is taken or without room. */
  async ofOne(principal: Principal, selector: VmSelector, request: CreateSnapshotPayload): Promise<SnapshotFields> {
    const snapshot = await change(this.dataSource, principal, async (transaction, concerns) => {
      const [vm] = await lockVms(transaction, principal, selector);
      if (vm === undefined) throw notFound('The virtual machine');
      concerns(vm.id);
      return { row: await requestOf(transaction, principal, vm, request), told: vm.has_callback };
    });
    this.committed(snapshot.told);
    return renderSnapshot(snapshot.row);
  }

  /** Each is named after its VM too. Those that cannot have one now are told, and do not keep the others. */
  async ofLabelled(principal: Principal, environment: string, label: string, request: CreateSnapshotPayload): Promise<LabelActionResponse> {
    const results = await this.dataSource.transaction(async (transaction) => {
      const vms = await lockVms(transaction, principal, { environment, label });
      const refusals = new Map<LockedVm, ApiError>();
      await lockNodes(transaction, vms);
      for (const vm of vms)
        try {
          const named = { ...request, name: nameFor(request.name, vm) };
          await transaction.transaction((savepoint) => requestOf(savepoint, principal, vm, named));
        } catch (error) {
          if (!(error instanceof ApiError)) throw error;
          refusals.set(vm, error);
        }
      const accepted = vms.filter((vm) => !refusals.has(vm)).map(({ id }) => id);
      if (accepted.length > 0) await writeAudit(transaction, principal, accepted);
      return { vms, refusals };
    });
    const { vms, refusals } = results;
    if (vms.length === 0) await this.queries.requireEnvironment(principal.organizationId, environment);
    this.committed(vms.some((vm) => vm.has_callback));
    const response = new LabelActionResponse(
      vms.length === 0
        ? `No virtual machine in ${environment} carries the label ${label}; nothing was done`
        : `snapshot: ${vms.length - refusals.size} of ${vms.length} virtual machines with the label ${label}`,
    );
    response.instances = vms.map((vm) => ({
      id: vm.id,
      name: vm.name,
      accepted: !refusals.has(vm),
      message: refusals.get(vm)?.message ?? `Creating snapshot ${nameFor(request.name, vm)}`,
    }));
    return response;
  }

  private committed(told: boolean): void {
    this.relay.wake();
    if (told) this.deliverer.wake();
  }
}

/** Of all of them before the first snapshot is counted: locks are taken in the order VMs, nodes, organizations. */
async function lockNodes(transaction: EntityManager, vms: readonly LockedVm[]): Promise<void> {
  const nodes = vms.map((vm) => vm.compute_node_id);
  await transaction.query('SELECT 1 FROM compute_node WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE', [nodes]);
}

function nameFor(name: string, vm: LockedVm): string {
  return `${name}-${vm.name}`;
}

/** In one transaction or savepoint, with the VM locked. @throws ApiError, and then everything is to be undone. */
async function requestOf(transaction: EntityManager, principal: Principal, vm: LockedVm, request: CreateSnapshotPayload): Promise<SnapshotRow> {
  refuseUnsettled(vm);
  const { name, description, labels = [] } = request;
  if (name.length > 2 * MAX_SNAPSHOT_NAME_LENGTH) throw badRequest(`The name '${name}' is too long.`);
  const uuid = randomUUID();
  const { rootVolume, diskGib } = vm.hardware;
  const size = rootVolume?.sizeGib ?? diskGib;
  await claim(transaction, vm.compute_node_id!, size, vm.name);
  const parameters = [uuid, vm.id, principal.userId, vm.compute_node_id, name, description, labels, vm.floating_ip !== null, size];
  const [{ id }] = await uniquelyNamed(name, () => transaction.query<[{ id: number }]>(INSERT, parameters));
  await transaction.query(WISH, [vm.id, uuid]);
  await writeSnapshotNews(transaction, [{ snapshotId: id, news: 'requested', userId: principal.userId }]);
  const [row] = await transaction.query<[SnapshotRow]>(`${SELECT_SNAPSHOT} WHERE s.id = $1`, [id]);
  return row;
}

function refuseUnsettled(vm: LockedVm): void {
  if (vm.hardware.snapshot !== undefined) throw beingSnapshotted(vm.name);
  if (!POSSIBLE_IN.includes(vm.status))
    throw badRequest(`${vm.name} is ${vm.status}; a snapshot is possible when it is ${POSSIBLE_IN.join(' or ')}.`);
  if (vm.compute_node_id === null) throw badRequest(`${vm.name} has no place on a node. Delete it and create it anew.`);
}

async function claim(transaction: EntityManager, node: ComputeNodeId, size: number, vm: string): Promise<void> {
  const [, claimed] = await transaction.query<[unknown, number]>(CLAIM, [node, size]);
  if (claimed === 0)
    throw new ApiError(
      409,
      `The compute node of ${vm} has no room for a copy of its disk of ${size} GB. Delete snapshots or volumes that are not needed there.`,
      'no_capacity',
    );
}

/** @throws ApiError 409 for a name that is taken, 403 for one snapshot more than the quota allows. */
async function uniquelyNamed<Result>(name: string, insert: () => Promise<Result>): Promise<Result> {
  try {
    return await insert();
  } catch (error) {
    if (violatedUnique(error) === 'uq_snapshot_name')
      throw alreadyExists(`There is already a snapshot '${name}' in your organization. Choose another name.`);
    throw quotaRefusal(error) ?? error;
  }
}
