/**
 * Gives up VMs that are on their way for too long: their worker holds a call that never returns, or their node is away.
 * Nobody waits for ever: such a VM ends in ERROR with the reason, its tasks end, and its owner may ask again or delete.
 *
 * It is not tried elsewhere: nobody knows what its node has made of it, and it must never run twice. A deletion is never
 * given up; it is asked for until its node has answered. What waits between two nodes is `vm-replacement.ts`'s.
 *
 * Excluded race: a report that comes at this moment; whoever has the VM's row locked is right, the other one looks again.
 */
import { Injectable, Logger, OnModuleDestroy, OnModuleInit } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { VmId } from '../../protocol/ids.js';
import { CallbackDeliverer } from '../callbacks/callback-deliverer.js';
import { giveUpVm, GIVEN_UP_COLUMNS, type GivenUpVm } from './vm-giving-up.js';

const CHECK_MS = 5_000;
/** Time for a slow download of a large image, and for the disk made of it. */
export const VM_DEADLINE_MINUTES = 60;

const FAULT = `Its compute node has not told within ${VM_DEADLINE_MINUTES} minutes what came of it. Try again, or delete the virtual machine.`;

const LATE = `
  vm.deleted_at IS NULL AND vm.desired_power <> 'absent' AND vm.observed <> 'undone'
  AND vm.status IN ('CREATING', 'BUILD', 'STARTING', 'STOPPING', 'REBOOTING', 'HIBERNATING', 'RESTORING', 'RESIZING')
  AND EXISTS (SELECT 1 FROM task t WHERE t.virtual_machine_id = vm.id AND t.generation = vm.generation
                 AND t.state IN ('pending', 'published') AND t.created_at < now() - make_interval(mins => ${VM_DEADLINE_MINUTES}))`;

@Injectable()
export class VmDeadlines implements OnModuleInit, OnModuleDestroy {
  private readonly logger = new Logger(VmDeadlines.name);
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly dataSource: DataSource,
    private readonly deliverer: CallbackDeliverer,
  ) {}

  onModuleInit(): void {
    this.timer = setInterval(() => {
      void this.check().catch((error: Error) => this.logger.warn(`Deadlines of VMs were not checked: ${error.message}`));
    }, CHECK_MS);
  }

  onModuleDestroy(): void {
    clearInterval(this.timer);
  }

  private async check(): Promise<void> {
    // From the few tasks that are old, not from all VMs.
    const late = await this.dataSource.query<{ id: VmId }[]>(
      `SELECT DISTINCT virtual_machine_id AS id FROM task
        WHERE state IN ('pending', 'published') AND created_at < now() - make_interval(mins => ${VM_DEADLINE_MINUTES}) LIMIT 100`,
    );
    for (const { id } of late) await this.giveUp(id);
  }

  private async giveUp(id: VmId): Promise<void> {
    const callback = await this.dataSource.transaction(async (transaction) => {
      const [vm] = await transaction.query<GivenUpVm[]>(
        `SELECT ${GIVEN_UP_COLUMNS} FROM virtual_machine vm WHERE id = $1 AND ${LATE} FOR UPDATE SKIP LOCKED`,
        [id],
      );
      if (vm === undefined) return false;
      this.logger.error(`VM ${id} is ${vm.status} for more than ${VM_DEADLINE_MINUTES} minutes: given up.`);
      await transaction.query(
        `UPDATE task SET state = 'failed', finished_at = now(), last_error = $2
          WHERE virtual_machine_id = $1 AND state IN ('pending', 'published')`,
        [id, FAULT],
      );
      return await giveUpVm(transaction, vm, FAULT);
    });
    if (callback) this.deliverer.wake();
  }
}
