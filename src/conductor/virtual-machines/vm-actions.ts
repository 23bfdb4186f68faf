/**
 * What users ask of VMs that are there: start, stop, hard-reboot, hibernate, restore, resize, delete; one by id or name,
 * or all that carry a label. An action only writes the wish, and takes the room that it needs. What comes of it is
 * reported.
 *
 * The race it excludes: a report, or another request, about the same VM, by locking its row first; and another request
 * for the same room, by conditional UPDATE in a savepoint of its own. Who finds no room is refused alone.
 */
import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import type { VmHardware } from '../../protocol/task.js';
import { writeAudit } from '../audit/change.js';
import { CallbackDeliverer } from '../callbacks/callback-deliverer.js';
import { DEADLOCK, sqlState } from '../database/database-error.js';
import { ApiError, badRequest, notFound } from '../http/api-error.js';
import type { Principal } from '../identity/principal.js';
import { TaskRelay } from '../tasks/task-relay.js';
import { LabelActionResponse } from './vm.responses.js';
import { hasGivenUp, takeBack, withoutFloatingIp } from './vm-hibernation.js';
import { VmQueries } from './vm-queries.js';
import { takeFlavor, type WantedFlavor } from './vm-resizing.js';
import { ACTIONS, desiredPowerFor, isAllowed, type VmAction } from './vm-status.js';
import { beingSnapshotted, lockVms, writeWishes, type LockedVm, type VmSelector, type Wish } from './vm-wishes.js';
import { crashPoint } from '../../crash-points.js';

/** What an action needs to know beside the VM. */
export interface ActionDetails {
  /** For hibernate: whether the VM keeps its floating IP meanwhile. */
  readonly retainIp?: boolean;
  /** For resize. */
  readonly flavor?: WantedFlavor;
}

const ATTEMPTS = 3;

@Injectable()
export class VmActions {
  constructor(
    private readonly dataSource: DataSource,
    private readonly queries: VmQueries,
    private readonly relay: TaskRelay,
    private readonly deliverer: CallbackDeliverer,
  ) {}

  /** @returns the VM's name. @throws ApiError 404, 400 in a state that the action is not for, 409 without room. */
  async actOnOne(principal: Principal, action: VmAction, selector: VmSelector, details: ActionDetails = {}): Promise<string> {
    const { rows, refusals } = await this.act(principal, action, selector, details);
    const [row] = rows;
    if (row === undefined) throw notFound('The virtual machine');
    const refusal = refusals.get(row);
    if (refusal !== undefined) throw refusal;
    return row.name;
  }

  /** Those that the action is not for now are told, and do not keep the others. */
  async actOnLabelled(
    principal: Principal,
    action: VmAction,
    environment: string,
    label: string,
    details: ActionDetails = {},
  ): Promise<LabelActionResponse> {
    const { rows, refusals } = await this.act(principal, action, { environment, label }, details);
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
      message: refusals.get(row)?.message ?? '',
    }));
    return response;
  }

  private async act(principal: Principal, action: VmAction, selector: VmSelector, details: ActionDetails) {
    for (let attempt = 1; ; attempt++) {
      try {
        const result = await this.dataSource.transaction((transaction) => attemptAction(transaction, principal, action, selector, details));
        crashPoint('change:committed');
        if (result.wishes.size > 0) this.relay.wake();
        if ([...result.wishes.keys()].some((vm) => vm.has_callback)) this.deliverer.wake();
        return result;
      } catch (error) {
        // Claims on several nodes at once, which another request took in another order.
        if (sqlState(error) !== DEADLOCK || attempt === ATTEMPTS) throw error;
      }
    }
  }
}

interface Outcome {
  readonly rows: readonly LockedVm[];
  readonly refusals: ReadonlyMap<LockedVm, ApiError>;
  readonly wishes: ReadonlyMap<LockedVm, Wish>;
}

async function attemptAction(
  transaction: EntityManager,
  principal: Principal,
  action: VmAction,
  selector: VmSelector,
  details: ActionDetails,
): Promise<Outcome> {
  const rows = await lockVms(transaction, principal, selector);
  const refusals = new Map<LockedVm, ApiError>();
  const wishes = new Map<LockedVm, Wish>();
  // Claims lock the nodes' rows, which all lock in the same order.
  for (const vm of rows.toSorted((a, b) => (a.compute_node_id ?? 0) - (b.compute_node_id ?? 0) || a.id - b.id)) {
    const refusal = refusalOf(action, vm);
    if (refusal !== undefined) refusals.set(vm, refusal);
    // What is on its way out needs no second push.
    else if (vm.status !== 'DELETING')
      try {
        wishes.set(vm, await wishFor(transaction, action, vm, details));
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        refusals.set(vm, error);
      }
  }
  await writeWishes(transaction, principal, wishes);
  if (wishes.size > 0) await writeAudit(transaction, principal, [...wishes.keys()].map(({ id }) => id));
  return { rows, refusals, wishes };
}

function refusalOf(action: VmAction, vm: LockedVm): ApiError | undefined {
  if (vm.hardware.snapshot !== undefined) return beingSnapshotted(vm.name);
  const placed = vm.incarnation_id !== null;
  if (vm.node_stops_vms && (action === 'start' || action === 'hibernate-restore'))
    return new ApiError(
      409,
      `The compute node of ${vm.name} is being emptied for maintenance. Try again when it is over, or create a new VM.`,
      'no_capacity',
    );
  if (isAllowed(action, vm.status, placed)) return undefined;
  if (isAllowed(action, vm.status, true))
    return badRequest(`${vm.name} could not be made and has no place on a node. Delete it and create it anew.`);
  const states = ACTIONS[action].allowedIn.filter((status) => status !== 'DELETING');
  return badRequest(`${vm.name} is ${vm.status}; ${action} is possible when it is ${states.join(' or ')}.`);
}

/** @throws ApiError when the VM cannot have what it needs for it; nothing is changed then. */
async function wishFor(transaction: EntityManager, action: VmAction, vm: LockedVm, details: ActionDetails): Promise<Wish> {
  const desiredPower = desiredPowerFor(action, vm.status);
  const wish: Wish = {
    operation: action,
    desiredPower,
    flavorId: vm.flavor_id,
    hardware: vm.hardware,
    awaitsFloatingIp: vm.awaits_floating_ip,
  };
  if (action === 'hibernate') return details.retainIp === true ? wish : { ...wish, ...withoutFloatingIp(vm) };
  if (action === 'resize')
    return { ...wish, ...(await transaction.transaction((savepoint) => takeFlavor(savepoint, vm, details.flavor!))) };
  const back =
    desiredPower !== 'absent' && hasGivenUp(vm) ? await transaction.transaction((savepoint) => takeBack(savepoint, vm)) : {};
  const wished = { ...wish, ...back };
  return action === 'hard-reboot' ? { ...wished, hardware: reset(wished.hardware) } : wished;
}

const reset = (hardware: VmHardware): VmHardware => ({ ...hardware, resets: (hardware.resets ?? 0) + 1 });
