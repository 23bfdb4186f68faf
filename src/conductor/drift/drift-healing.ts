/**
 * Does about one drift what was decided, in one transaction, and says so: in its row, and to the VM's owner by an event.
 * A VM is brought to what is desired of it by a wish like any other: a new generation and a task.
 *
 * The race it excludes: a report, a request or another conductor. The rows of the drift and of its VM are locked, and
 * whether it is still so is asked once more under the locks; whoever finds one locked leaves it for the next look.
 */
import { Injectable, Logger } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import type { ComputeNodeId, IncarnationId, VmId } from '../../protocol/ids.js';
import type { InventoryItem } from '../../protocol/node.js';
import type { DesiredPower } from '../../protocol/task.js';
import { CallbackDeliverer } from '../callbacks/callback-deliverer.js';
import { TaskRelay } from '../tasks/task-relay.js';
import { deriveStatus, type Observed, type VmAction } from '../virtual-machines/vm-status.js';
import { writeStatusChanges } from '../virtual-machines/vm-status-changes.js';
import { lockVmForCloud, writeWishes, type LockedVm } from '../virtual-machines/vm-wishes.js';
import type { DriftOutcome } from './drift.entity.js';
import { MOST_ATTEMPTS, POLICY, type DriftAction, type DriftKind } from './drift-policy.js';
import { findLiveDrift, findStaleDrift, type DriftedVm, type LiveDrift } from './found-drift.js';

export interface OpenDrift {
  readonly id: number;
  readonly nodeId: ComputeNodeId;
  readonly node: string;
  readonly domainName: string;
  readonly kind: DriftKind;
  readonly vmId: VmId | null;
  readonly incarnationId: IncarnationId | null;
  readonly outcome: DriftOutcome;
  readonly attempts: number;
}

export type Decision = DriftAction | 'give-up';

/** What is asked for again, so that the VM comes to what is desired. */
const OPERATION: Readonly<Record<Exclude<DesiredPower, 'absent'>, VmAction>> = {
  running: 'start',
  stopped: 'stop',
  hibernated: 'hibernate',
};

const LOCK = `
  SELECT id FROM drift WHERE id = $1 AND ended_at IS NULL AND outcome = $2 AND attempts = $3 FOR UPDATE SKIP LOCKED`;

const ACTED = `UPDATE drift SET outcome = $2, attempts = attempts + $3, acted_at = now() WHERE id = $1`;

const REMOVE = `
  INSERT INTO task (id, compute_node_id, virtual_machine_id, incarnation_id, generation)
  SELECT gen_random_uuid(), i.compute_node_id, vm.id, i.id, vm.generation
    FROM incarnation i JOIN virtual_machine vm ON vm.id = i.virtual_machine_id WHERE i.id = $1 AND i.ended_at IS NOT NULL`;

@Injectable()
export class DriftHealing {
  private readonly logger = new Logger(DriftHealing.name);

  constructor(
    private readonly dataSource: DataSource,
    private readonly relay: TaskRelay,
    private readonly deliverer: CallbackDeliverer,
  ) {}

  async act(drift: OpenDrift, decision: Decision): Promise<void> {
    const done = await this.dataSource.transaction(async (transaction) => {
      const locked = await transaction.query<unknown[]>(LOCK, [drift.id, drift.outcome, drift.attempts]);
      if (locked.length === 0) return undefined;
      const outcome = await carryOut(transaction, drift, decision);
      if (outcome !== undefined) await transaction.query(ACTED, [drift.id, outcome, outcome === 'healing' ? 1 : 0]);
      return outcome;
    });
    if (done === undefined) return;
    this.relay.wake();
    this.deliverer.wake();
    this.logger.warn(`Drift on node ${drift.node}, ${drift.domainName}: ${drift.kind} (${done}). ${POLICY[drift.kind].message}`);
  }
}

/** @returns undefined when it is not so any more, or somebody else has the VM in hand. */
async function carryOut(transaction: EntityManager, drift: OpenDrift, decision: Decision): Promise<DriftOutcome | undefined> {
  switch (drift.kind) {
    case 'foreign-domain':
    case 'unknown-incarnation':
      return 'shown';
    case 'ended-incarnation':
      return await removeLeftover(transaction, drift, decision);
    default:
      return await treatVm(transaction, drift, decision);
  }
}

async function removeLeftover(transaction: EntityManager, drift: OpenDrift, decision: Decision): Promise<DriftOutcome | undefined> {
  if (decision === 'give-up') return 'given up';
  if (decision !== 'remove') return 'shown';
  const stale = await findStaleDrift(transaction, drift.nodeId);
  if (!stale.some(({ kind, incarnationId }) => kind === drift.kind && incarnationId === drift.incarnationId)) return undefined;
  await transaction.query(REMOVE, [drift.incarnationId]);
  return 'healing';
}

async function treatVm(transaction: EntityManager, drift: OpenDrift, decision: Decision): Promise<DriftOutcome | undefined> {
  const locked = await lockVmForCloud(transaction, drift.vmId!);
  const found = await findLiveDrift(transaction, drift.nodeId, drift.vmId);
  const still = found.find(({ kind, incarnationId }) => kind === drift.kind && incarnationId === drift.incarnationId);
  if (locked === undefined || still === undefined) return undefined;
  const { message } = POLICY[drift.kind];
  switch (decision) {
    case 'restart':
    case 'stop':
    case 'resume':
    case 'recreate':
      await converge(transaction, locked, still.vm, message);
      return 'healing';
    case 'adopt':
      await observe(transaction, locked, still.vm, { observed: still.state!, message });
      return 'healing';
    case 'fail':
      await observe(transaction, locked, still.vm, { observed: 'failed', message });
      return 'healing';
    case 'give-up':
      await giveUp(transaction, locked, still);
      return 'given up';
    case 'report':
    case 'remove':
      await tell(transaction, locked, still.vm.observed, message);
      return 'shown';
  }
}

async function converge(transaction: EntityManager, vm: LockedVm, { desiredPower }: DriftedVm, message: string): Promise<void> {
  if (desiredPower === 'absent') return;
  await writeWishes(
    transaction,
    { userId: null },
    new Map([
      [
        vm,
        {
          operation: OPERATION[desiredPower],
          desiredPower,
          flavorId: vm.flavor_id,
          hardware: vm.hardware,
          awaitsFloatingIp: vm.awaits_floating_ip,
          event: eventOf(message),
        },
      ],
    ]),
  );
}

/** What is there is shown, so that nobody is misled by what it should be. */
async function giveUp(transaction: EntityManager, locked: LockedVm, { kind, state, vm }: LiveDrift): Promise<void> {
  const message = `${POLICY[kind].message} That was tried ${MOST_ATTEMPTS} times, and is not tried again.`;
  await observe(transaction, locked, vm, { observed: state ?? 'failed', message });
}

/** Takes note of what there is, for all that nobody has reported it. */
async function observe(
  transaction: EntityManager,
  locked: LockedVm,
  { desiredPower, operation, generation }: DriftedVm,
  { observed, message }: { observed: InventoryItem['state'] | 'failed'; message: string },
): Promise<void> {
  const { observed_generation: observedGeneration } = locked;
  const status = deriveStatus({ desiredPower, operation, generation, observed, observedGeneration });
  const fault = status === 'ERROR' ? message : null;
  await transaction.query('UPDATE virtual_machine SET observed = $2, status = $3, fault = $4 WHERE id = $1', [locked.id, observed, status, fault]);
  if (status === locked.status) return await tell(transaction, locked, observed, message);
  await writeStatusChanges(transaction, [changeOf(locked, { status, observed, fault, message, hasCallback: locked.has_callback })]);
}

/** By an event alone: its status has not changed. */
const tell = (transaction: EntityManager, vm: LockedVm, observed: Observed, message: string): Promise<void> =>
  writeStatusChanges(transaction, [changeOf(vm, { status: vm.status, observed, fault: null, message, hasCallback: false })]);

const changeOf = (
  vm: LockedVm,
  { message, ...change }: { status: LockedVm['status']; observed: Observed; fault: string | null; message: string; hasCallback: boolean },
) => ({ vmId: vm.id, organizationId: vm.organization_id, name: vm.name, from: vm.status, userId: null, event: eventOf(message), ...change });

const eventOf = (message: string) => ({ reason: 'InstanceDrift', message });
