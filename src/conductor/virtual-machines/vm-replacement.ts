/**
 * Finds another node for VMs whose first start failed and was undone. It is woken in-process by the report, and looks
 * every second anyway, because the conductor that took the report may have died.
 *
 * Any number of conductors do this at once: a VM is moved by whoever locks its row, in one transaction, and only while it
 * is still `undone`. What it must never do: leave a VM `undone`; without another node it ends in ERROR, its claim
 * released. Nodes that failed are not tried again, and there are at most `MOST_NODES_TRIED` (`report-folding.ts`).
 */
import { Injectable, Logger, OnModuleDestroy, OnModuleInit } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { InjectConfig } from '../../config/config.module.js';
import type { Config } from '../../config/settings.js';
import type { ComputeNodeId, OrganizationId, RegionId, VmId } from '../../protocol/ids.js';
import { CallbackDeliverer } from '../callbacks/callback-deliverer.js';
import { DEADLOCK, sqlState } from '../database/database-error.js';
import { FleetView } from '../fleet/fleet-view.js';
import { quotaRefusal } from '../quotas/quota-refusal.js';
import { explainInWords } from '../scheduling/explain-in-words.js';
import type { NodeView } from '../scheduling/node-view.js';
import { place } from '../scheduling/placement.js';
import { MOST_NODES_TRIED } from '../tasks/report-folding.js';
import { Reports } from '../tasks/reports.js';
import { TaskRelay } from '../tasks/task-relay.js';
import { CLAIM_LOST } from './vm-insertion.js';
import { endPlace, relocate, type Relocatable } from './vm-relocation.js';
import type { VmStatus } from './vm-status.js';
import { writeStatusChanges } from './vm-status-changes.js';

const POLL_MS = 1_000;
const BATCH = 100;
/** How often a lost race for a node's room is run again before the next look. */
const ATTEMPTS = 8;

interface UndoneVm extends Relocatable {
  readonly organization_id: OrganizationId;
  readonly region_id: RegionId;
  readonly region: string;
  readonly name: string;
  readonly status: VmStatus;
  readonly has_callback: boolean;
  readonly attempt: number;
  readonly failure: string;
  readonly node: string;
  /** Where this life of the VM has failed. */
  readonly failed_nodes: ComputeNodeId[];
  /** The only node that has the snapshot that it is to be made of. */
  readonly home: ComputeNodeId | null;
}

const LOCK = `
  SELECT vm.id, vm.organization_id, vm.name, vm.status, vm.hardware, vm.callback_url IS NOT NULL AS has_callback,
         r.id AS region_id, r.name AS region, i.id AS incarnation_id, i.compute_node_id, i.attempt,
         coalesce(i.failure, '') AS failure, n.name AS node,
         ARRAY(SELECT f.compute_node_id FROM incarnation f
                WHERE f.virtual_machine_id = vm.id ORDER BY f.id DESC LIMIT i.attempt) AS failed_nodes,
         (SELECT s.compute_node_id FROM snapshot s WHERE s.uuid = (vm.hardware->'image'->'disk'->>'snapshot')::uuid) AS home
    FROM virtual_machine vm
    JOIN incarnation i ON i.virtual_machine_id = vm.id AND i.ended_at IS NULL
    JOIN compute_node n ON n.id = i.compute_node_id
    JOIN environment e ON e.id = vm.environment_id
    JOIN region r ON r.id = e.region_id
   WHERE vm.id = $1 AND vm.observed = 'undone' AND vm.desired_power <> 'absent' FOR UPDATE OF vm, i SKIP LOCKED`;

@Injectable()
export class VmReplacement implements OnModuleInit, OnModuleDestroy {
  private readonly logger = new Logger(VmReplacement.name);
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> | undefined;
  private woken = false;
  private stopped = false;

  constructor(
    private readonly dataSource: DataSource,
    private readonly fleet: FleetView,
    private readonly relay: TaskRelay,
    private readonly deliverer: CallbackDeliverer,
    private readonly reports: Reports,
    @InjectConfig() private readonly config: Config,
  ) {}

  onModuleInit(): void {
    this.reports.onUndone(() => this.wake());
    this.timer = setInterval(() => this.wake(), POLL_MS);
  }

  async onModuleDestroy(): Promise<void> {
    this.stopped = true;
    clearInterval(this.timer);
    await this.running;
  }

  private wake(): void {
    this.woken = true;
    if (this.stopped || this.running !== undefined) return;
    this.running = this.run().finally(() => {
      this.running = undefined;
      if (this.woken) this.wake();
    });
  }

  private async run(): Promise<void> {
    this.woken = false;
    try {
      const vms = await this.dataSource.query<{ id: VmId }[]>(
        `SELECT id FROM virtual_machine WHERE observed = 'undone' AND desired_power <> 'absent' ORDER BY id LIMIT ${BATCH}`,
      );
      for (const { id } of vms)
        if (!this.stopped) await this.replace(id).catch((error: unknown) => this.complain(`VM ${id}`, error));
    } catch (error) {
      this.complain('VMs', error);
    }
  }

  private complain(what: string, error: unknown): void {
    this.logger.warn(`${what} waiting for another node: ${(error as Error).message}`);
  }

  private async replace(id: VmId): Promise<void> {
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      await this.fleet.refresh();
      const nodes = await this.fleet.nodes();
      try {
        const vm = await this.dataSource.transaction((transaction) => this.move(transaction, id, nodes));
        if (vm === undefined) return;
        this.relay.wake();
        if (vm.has_callback) this.deliverer.wake();
        return;
      } catch (error) {
        const refusal = quotaRefusal(error);
        if (refusal !== undefined) return await this.abandon(id, refusal.message);
        if (sqlState(error) !== CLAIM_LOST && sqlState(error) !== DEADLOCK) throw error;
      }
    }
  }

  /** @returns nothing when somebody else has it in hand. */
  private async move(transaction: EntityManager, id: VmId, nodes: readonly NodeView[]): Promise<UndoneVm | undefined> {
    const [vm] = await transaction.query<UndoneVm[]>(LOCK, [id]);
    if (vm === undefined) return undefined;
    const { vcpus, memoryMib, diskGib, gpu } = vm.hardware;
    const result = place(
      nodes,
      {
        regionId: vm.region_id,
        regionName: vm.region,
        vcpus,
        memoryMib,
        diskGib,
        ...(gpu !== undefined && { gpu }),
        count: 1,
        home: vm.home ?? undefined,
        excludedNodes: new Set(vm.failed_nodes),
      },
      { policy: this.config.placementPolicy, random: Math.random },
    );
    if ('refused' in result) {
      await giveUp(transaction, vm, explainInWords(result.refused));
      return vm;
    }
    const [node] = result.placed;
    const attempt = vm.attempt + 1;
    await relocate(transaction, vm, { node: node!, placement: result.explanation, attempt, status: 'CREATING' });
    const name = nodes.find((view) => view.id === node)!.name;
    await writeStatusChanges(transaction, [
      {
        ...changeOf(vm),
        status: 'CREATING',
        observed: 'nothing',
        fault: null,
        event: {
          reason: 'InstanceCreationRetry',
          message: `Node ${vm.node} could not make the virtual machine: ${vm.failure} It is tried on node ${name} (${attempt} of at most ${MOST_NODES_TRIED}).`,
        },
      },
    ]);
    return vm;
  }

  private async abandon(id: VmId, reason: string): Promise<void> {
    const vm = await this.dataSource.transaction(async (transaction) => {
      const [locked] = await transaction.query<UndoneVm[]>(LOCK, [id]);
      if (locked !== undefined) await giveUp(transaction, locked, reason);
      return locked;
    });
    if (vm?.has_callback === true) this.deliverer.wake();
  }
}

const changeOf = (vm: UndoneVm) => ({
  vmId: vm.id,
  organizationId: vm.organization_id,
  name: vm.name,
  from: vm.status,
  userId: null,
  hasCallback: vm.has_callback,
});

async function giveUp(transaction: EntityManager, vm: UndoneVm, whyNowhereElse: string): Promise<void> {
  const fault = `${vm.failure} It cannot be tried elsewhere: ${whyNowhereElse}`;
  await endPlace(transaction, vm.incarnation_id);
  await transaction.query(
    `UPDATE virtual_machine SET observed = 'failed', observed_generation = generation, status = 'ERROR', fault = $2 WHERE id = $1`,
    [vm.id, fault],
  );
  await writeStatusChanges(transaction, [{ ...changeOf(vm), status: 'ERROR', observed: 'failed', fault }]);
}
