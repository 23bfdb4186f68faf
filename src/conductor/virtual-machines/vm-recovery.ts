/**
 * Starts VMs of lost nodes elsewhere, with an empty disk from their image: those whose flavor or organization wants it
 * (`autoRecover`) and that nothing binds to the node: no volumes, no snapshot that they were made of. And those that their node never took up, whoever owns them: such a guest never
 * ran, and cannot, because its start has to be confirmed by the incarnation that ends here.
 *
 * What it must never do: start a VM twice. `LostNodes` says whose lease has surely run out, and the node has stopped its
 * VMs by then. The race it excludes: a node that comes back. Its registration and the move both lock the node's row, and
 * the move looks at its sign of life once more under that lock.
 */
import { Injectable, Logger, OnModuleDestroy, OnModuleInit } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { InjectConfig } from '../../config/config.module.js';
import type { Config } from '../../config/settings.js';
import type { ComputeNodeId, OrganizationId, RegionId, VmId } from '../../protocol/ids.js';
import { CallbackDeliverer } from '../callbacks/callback-deliverer.js';
import { DEADLOCK, sqlState } from '../database/database-error.js';
import { FleetView } from '../fleet/fleet-view.js';
import { LostNodes, type NodeSign } from '../fleet/lost-nodes.js';
import { explainInWords } from '../scheduling/explain-in-words.js';
import type { NodeView } from '../scheduling/node-view.js';
import { place } from '../scheduling/placement.js';
import { quotaRefusal } from '../quotas/quota-refusal.js';
import { settleSnapshots } from '../snapshots/snapshot-reports.js';
import { TaskRelay } from '../tasks/task-relay.js';
import { CLAIM_LOST } from './vm-insertion.js';
import { lockNodes, relocate, type Relocatable } from './vm-relocation.js';
import type { VmStatus } from './vm-status.js';
import { writeStatusChanges } from './vm-status-changes.js';

const LOOK_MS = 1_000;
const BATCH = 50;

interface LostVm extends Relocatable {
  readonly organization_id: OrganizationId;
  readonly region_id: RegionId;
  readonly region: string;
  readonly name: string;
  readonly status: VmStatus;
  readonly has_callback: boolean;
  readonly generation: number;
  /** Why it can be nowhere else. */
  readonly bound: string | null;
  readonly node: string;
}

/** A worker that does not stop VMs by itself may have them running for ever; what it has not taken up is another matter. */
const SIGNS = `
  SELECT n.id, coalesce(n.fence_seconds, n.lease_seconds) AS "fenceSeconds", n.session || ' ' || h.beat_at::text AS sign,
         n.fence_seconds IS NOT NULL AS fencing
    FROM compute_node n JOIN compute_node_heartbeat h ON h.compute_node_id = n.id`;

/** The files that a VM cannot be without, and that no other node has. */
const BOUND = `(CASE
  WHEN vm.hardware ? 'rootVolume' OR coalesce(jsonb_array_length(vm.hardware->'volumes'), 0) > 0 THEN 'Its volumes are on that node.'
  WHEN vm.hardware->'image'->'disk' ? 'snapshot' THEN 'The snapshot that it was made of is on that node.'
END)`;

const NEVER_TAKEN_UP = `
  WITH due AS (
    SELECT vm.id, i.id AS incarnation_id FROM incarnation i JOIN virtual_machine vm ON vm.id = i.virtual_machine_id
     WHERE i.compute_node_id = $1 AND i.claimed AND i.ended_at IS NULL AND vm.observed = 'nothing' AND NOT vm.has_run
       AND vm.desired_power <> 'absent' AND ${BOUND} IS NULL
       FOR UPDATE OF vm, i SKIP LOCKED
  ), failed AS (
    UPDATE incarnation i SET failure = 'The node was lost before it took the virtual machine up.', attempt = 1
      FROM due WHERE i.id = due.incarnation_id
  )
  UPDATE virtual_machine vm SET observed = 'undone', status = 'BUILD' FROM due WHERE vm.id = due.id`;

const CANDIDATES = `
  SELECT vm.id FROM incarnation i JOIN virtual_machine vm ON vm.id = i.virtual_machine_id
   WHERE i.compute_node_id = $1 AND i.claimed AND i.ended_at IS NULL AND vm.hardware ? 'autoRecover'
     AND vm.desired_power = 'running' AND vm.observed IN ('building', 'running', 'nothing')
     AND (i.stranded_at IS NULL OR ${BOUND} IS NULL)
   ORDER BY i.stranded_at IS NOT NULL, random() LIMIT ${BATCH}`;

const LOCK = `
  SELECT vm.id, vm.organization_id, vm.name, vm.status, vm.hardware, vm.callback_url IS NOT NULL AS has_callback,
         vm.generation, ${BOUND} AS bound,
         r.id AS region_id, r.name AS region, i.id AS incarnation_id, i.compute_node_id, n.name AS node
    FROM virtual_machine vm
    JOIN incarnation i ON i.virtual_machine_id = vm.id AND i.ended_at IS NULL
    JOIN compute_node n ON n.id = i.compute_node_id
    JOIN environment e ON e.id = vm.environment_id
    JOIN region r ON r.id = e.region_id
   WHERE vm.id = $1 AND i.compute_node_id = $2 AND vm.hardware ? 'autoRecover' AND vm.desired_power = 'running'
     AND vm.observed IN ('building', 'running', 'nothing')
     FOR UPDATE OF vm, i SKIP LOCKED`;

interface Sign extends NodeSign {
  readonly fencing: boolean;
}

@Injectable()
export class VmRecovery implements OnModuleInit, OnModuleDestroy {
  private readonly logger = new Logger(VmRecovery.name);
  private readonly lostNodes: LostNodes;
  private timer: NodeJS.Timeout | undefined;
  private looking: Promise<void> | undefined;
  private stopped = false;

  constructor(
    private readonly dataSource: DataSource,
    private readonly fleet: FleetView,
    private readonly relay: TaskRelay,
    private readonly deliverer: CallbackDeliverer,
    @InjectConfig() private readonly config: Config,
  ) {
    this.lostNodes = new LostNodes(config.fenceMarginSeconds);
  }

  onModuleInit(): void {
    this.timer = setInterval(() => {
      this.looking ??= this.look()
        .catch((error: Error) => this.logger.warn(`VMs of lost nodes wait: ${error.message}`))
        .finally(() => (this.looking = undefined));
    }, LOOK_MS);
  }

  async onModuleDestroy(): Promise<void> {
    this.stopped = true;
    clearInterval(this.timer);
    await this.looking;
  }

  private async look(): Promise<void> {
    const signs = await this.dataSource.query<Sign[]>(SIGNS);
    for (const node of this.lostNodes.observe(signs) as Sign[]) {
      // `vm-replacement.ts` places them.
      await this.dataSource.query(NEVER_TAKEN_UP, [node.id]);
      if (!node.fencing) continue;
      const vms = await this.dataSource.query<{ id: VmId }[]>(CANDIDATES, [node.id]);
      for (const { id } of vms) if (!this.stopped) await this.recover(id, node);
    }
  }

  private async recover(id: VmId, lost: NodeSign): Promise<void> {
    await this.fleet.refresh();
    const nodes = await this.fleet.nodes();
    try {
      const vm = await this.dataSource.transaction((transaction) => this.move(transaction, id, lost, nodes));
      if (vm === undefined) return;
      this.relay.wake();
      if (vm.has_callback) this.deliverer.wake();
    } catch (error) {
      const refusal = quotaRefusal(error);
      if (refusal !== undefined) await this.dataSource.transaction((transaction) => this.strand(transaction, id, lost, refusal.message));
      // Else the next look comes soon.
      else if (sqlState(error) !== CLAIM_LOST && sqlState(error) !== DEADLOCK) throw error;
    }
  }

  /** @returns nothing when nothing was moved. */
  private async move(transaction: EntityManager, id: VmId, lost: NodeSign, nodes: readonly NodeView[]): Promise<LostVm | undefined> {
    const vm = await lockLost(transaction, id, lost.id);
    if (vm === undefined) return undefined;
    if (vm.bound !== null) return await tellStranded(transaction, vm, vm.bound);
    const { vcpus, memoryMib, diskGib, gpu } = vm.hardware;
    const result = place(
      nodes,
      { regionId: vm.region_id, regionName: vm.region, vcpus, memoryMib, diskGib, ...(gpu !== undefined && { gpu }), count: 1, excludedNodes: new Set([lost.id]) },
      { policy: this.config.placementPolicy, random: Math.random },
    );
    if ('refused' in result) return await tellStranded(transaction, vm, explainInWords(result.refused));
    const [node] = result.placed as [ComputeNodeId];
    await lockNodes(transaction, [lost.id, node]);
    if (!(await isStillLost(transaction, lost))) return undefined;
    await endSnapshot(transaction, vm);
    await relocate(transaction, vm, { node, placement: result.explanation, attempt: 1, status: 'CREATING', fromLostNode: true });
    const name = nodes.find((view) => view.id === node)!.name;
    this.logger.warn(`Node ${vm.node} is lost: VM ${vm.id} is started on node ${name} with an empty disk.`);
    await writeStatusChanges(transaction, [
      {
        vmId: vm.id,
        organizationId: vm.organization_id,
        name: vm.name,
        from: vm.status,
        status: 'CREATING',
        observed: 'nothing',
        fault: null,
        userId: null,
        hasCallback: vm.has_callback,
        event: {
          reason: 'InstanceRecovery',
          message: `Node ${vm.node} is lost. The virtual machine is made anew on node ${name}, with an empty disk from its image; what was on its disk is gone.`,
        },
      },
    ]);
    return vm;
  }

  private async strand(transaction: EntityManager, id: VmId, lost: NodeSign, reason: string): Promise<void> {
    const vm = await lockLost(transaction, id, lost.id);
    if (vm !== undefined) await tellStranded(transaction, vm, reason);
  }
}

async function lockLost(transaction: EntityManager, id: VmId, node: ComputeNodeId): Promise<LostVm | undefined> {
  const [vm] = await transaction.query<LostVm[]>(LOCK, [id, node]);
  return vm;
}

/** On the new node it would be one of an empty disk. */
async function endSnapshot(transaction: EntityManager, { id: vmId, generation, node }: LostVm): Promise<void> {
  const fault = `Node ${node} was lost while it was being taken. Delete it, and try again.`;
  await settleSnapshots(transaction, [{ vmId, generation, outcome: undefined, over: true, fault }]);
}

/** By a statement of its own: it sees what was committed while the locks were waited for. */
async function isStillLost(transaction: EntityManager, { id, sign }: NodeSign): Promise<boolean> {
  const [node] = await transaction.query<{ sign: string }[]>(`${SIGNS} WHERE n.id = $1`, [id]);
  return node?.sign === sign;
}

/** Once for each time that the node is lost. */
async function tellStranded(transaction: EntityManager, vm: LostVm, why: string): Promise<undefined> {
  await transaction.query(
    `WITH told AS (UPDATE incarnation SET stranded_at = now() WHERE id = $1 AND stranded_at IS NULL RETURNING id)
     INSERT INTO event (organization_id, virtual_machine_id, type, reason, object, message)
     SELECT $2::int, $3::int, 'warning', 'InstanceRecoveryWaiting', $4::text, $5::text FROM told`,
    [
      vm.incarnation_id,
      vm.organization_id,
      vm.id,
      vm.name,
      `Node ${vm.node} is lost, and the virtual machine waits for it or for another: ${why}`,
    ],
  );
}
