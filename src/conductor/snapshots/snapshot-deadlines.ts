/**
 * Gives up snapshots whose node has not answered in time, so that their VMs can be worked with again. A copy that comes
 * after all is removed by its node (see `snapshot-removals.ts`).
 */
import { Injectable, Logger, OnModuleDestroy, OnModuleInit } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { VmId } from '../../protocol/ids.js';
import { CallbackDeliverer } from '../callbacks/callback-deliverer.js';
import { settleSnapshots } from './snapshot-reports.js';
import { CREATED_WITHIN_MINUTES } from './snapshot-status.js';

const CHECK_MS = 5_000;
const FAULT = `The compute node has not taken it within ${CREATED_WITHIN_MINUTES} minutes. Is the node up? Delete it, and try again.`;

const OVERDUE = `state = 'CREATING' AND deadline_at < now()`;

@Injectable()
export class SnapshotDeadlines implements OnModuleInit, OnModuleDestroy {
  private readonly logger = new Logger(SnapshotDeadlines.name);
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly dataSource: DataSource,
    private readonly deliverer: CallbackDeliverer,
  ) {}

  onModuleInit(): void {
    this.timer = setInterval(() => {
      void this.check().catch((error: Error) => this.logger.warn(`Deadlines of snapshots were not checked: ${error.message}`));
    }, CHECK_MS);
  }

  onModuleDestroy(): void {
    clearInterval(this.timer);
  }

  private async check(): Promise<void> {
    const overdue = await this.dataSource.query<{ vm_id: VmId }[]>(
      `SELECT virtual_machine_id AS vm_id FROM snapshot WHERE ${OVERDUE} ORDER BY id LIMIT 100`,
    );
    for (const { vm_id } of overdue) await this.giveUp(vm_id);
  }

  private async giveUp(vmId: VmId): Promise<void> {
    const told = await this.dataSource.transaction(async (transaction) => {
      // Whoever else has the VM in hand may be another conductor that does this, or the report that comes at last.
      const [vm] = await transaction.query<{ generation: number }[]>(
        'SELECT generation FROM virtual_machine WHERE id = $1 FOR UPDATE SKIP LOCKED',
        [vmId],
      );
      if (vm === undefined) return false;
      const still = await transaction.query<unknown[]>(`SELECT 1 FROM snapshot WHERE virtual_machine_id = $1 AND ${OVERDUE}`, [vmId]);
      if (still.length === 0) return false;
      return await settleSnapshots(transaction, [{ vmId, generation: vm.generation, outcome: undefined, over: true, fault: FAULT }]);
    });
    if (told) this.deliverer.wake();
  }
}
