/**
 * Stops the VMs of nodes that are drained with `--stop`, and starts those again when draining is over. What it wants of a
 * VM is a wish like any user's, written with the VM's row locked; a VM that is on its way is looked at again when it has
 * arrived. A VM that its owner stopped, or asks anything of later, is its owner's and is not started.
 *
 * Any number of conductors do this at once. Level, not edge: what is found is compared with what is wanted, every second.
 */
import { Injectable, Logger, OnModuleDestroy, OnModuleInit } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import type { VmId } from '../../protocol/ids.js';
import { CallbackDeliverer } from '../callbacks/callback-deliverer.js';
import { TaskRelay } from '../tasks/task-relay.js';
import { lockVmForCloud, writeWishes, type LockedVm } from './vm-wishes.js';

const LOOK_MS = 1_000;
const BATCH = 100;

const TO_STOP = `
  SELECT vm.id FROM compute_node n
    JOIN incarnation i ON i.compute_node_id = n.id AND i.claimed AND i.ended_at IS NULL
    JOIN virtual_machine vm ON vm.id = i.virtual_machine_id
   WHERE n.draining AND n.drain_stops AND vm.status = 'ACTIVE' LIMIT ${BATCH}`;

const TO_START = `
  SELECT vm.id FROM virtual_machine vm
    JOIN incarnation i ON i.virtual_machine_id = vm.id AND i.ended_at IS NULL
    JOIN compute_node n ON n.id = i.compute_node_id
   WHERE vm.stopped_by_drain AND vm.status = 'SHUTOFF' AND NOT (n.draining AND n.drain_stops) LIMIT ${BATCH}`;

@Injectable()
export class VmDraining implements OnModuleInit, OnModuleDestroy {
  private readonly logger = new Logger(VmDraining.name);
  private timer: NodeJS.Timeout | undefined;
  private looking: Promise<void> | undefined;

  constructor(
    private readonly dataSource: DataSource,
    private readonly relay: TaskRelay,
    private readonly deliverer: CallbackDeliverer,
  ) {}

  onModuleInit(): void {
    this.timer = setInterval(() => {
      this.looking ??= this.look()
        .catch((error: Error) => this.logger.warn(`Draining waits: ${error.message}`))
        .finally(() => (this.looking = undefined));
    }, LOOK_MS);
  }

  async onModuleDestroy(): Promise<void> {
    clearInterval(this.timer);
    await this.looking;
  }

  private async look(): Promise<void> {
    await this.wishForAll(TO_STOP, 'stop');
    await this.wishForAll(TO_START, 'start');
  }

  private async wishForAll(query: string, action: 'stop' | 'start'): Promise<void> {
    for (const { id } of await this.dataSource.query<{ id: VmId }[]>(query)) {
      const vm = await this.dataSource.transaction((transaction) => wish(transaction, id, action));
      if (vm === undefined) continue;
      this.relay.wake();
      if (vm.has_callback) this.deliverer.wake();
    }
  }
}

async function wish(transaction: EntityManager, id: VmId, action: 'stop' | 'start'): Promise<LockedVm | undefined> {
  const vm = await lockVmForCloud(transaction, id);
  // Only if it is still so, now that its row is locked.
  if (vm === undefined || vm.incarnation_id === null) return undefined;
  // It is stopped when its snapshot is complete.
  if (vm.hardware.snapshot !== undefined) return undefined;
  const due = action === 'stop' ? vm.node_stops_vms && vm.status === 'ACTIVE' : !vm.node_stops_vms && vm.stopped_by_drain && vm.status === 'SHUTOFF';
  if (!due) return undefined;
  await writeWishes(
    transaction,
    { userId: null },
    new Map([
      [
        vm,
        {
          operation: action,
          desiredPower: action === 'stop' ? 'stopped' : 'running',
          flavorId: vm.flavor_id,
          hardware: vm.hardware,
          awaitsFloatingIp: vm.awaits_floating_ip,
          byDrain: true,
        },
      ],
    ]),
  );
  return vm;
}
