/**
 * Tasks that no worker could take in: rejected, or delivered too often. Each ends as what it means for the VM's
 * owner: a failed task, a VM in ERROR with the reason, an event and a webhook. Nothing is left to wait for ever.
 */
import { Inject, Injectable, Logger, OnModuleDestroy, OnModuleInit } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { DeadLetter, Subscription, TaskPublisher } from '../../messaging/task-bus.js';
import type { OrganizationId, VmId } from '../../protocol/ids.js';
import { CallbackDeliverer } from '../callbacks/callback-deliverer.js';
import type { Observed, VmStatus } from '../virtual-machines/vm-status.js';
import { writeStatusChanges } from '../virtual-machines/vm-status-changes.js';
import { settleSnapshots } from '../snapshots/snapshot-reports.js';
import { TASK_PUBLISHER } from './task-publisher.token.js';

const FAULT = 'The compute node could not carry out what was asked of it. Delete the virtual machine and try again.';

interface AffectedVm {
  readonly id: VmId;
  readonly organization_id: OrganizationId;
  readonly name: string;
  readonly status: VmStatus;
  readonly observed: Observed;
  readonly has_callback: boolean;
}

@Injectable()
export class DeadLetters implements OnModuleInit, OnModuleDestroy {
  private readonly logger = new Logger(DeadLetters.name);
  private subscription: Promise<Subscription> | undefined;

  constructor(
    private readonly dataSource: DataSource,
    private readonly deliverer: CallbackDeliverer,
    @Inject(TASK_PUBLISHER) private readonly publisher: TaskPublisher,
  ) {}

  /** Not waited for: the broker may be away when the conductor boots. */
  onModuleInit(): void {
    this.subscription = this.publisher.consumeDeadLetters((letter) => {
      void this.bury(letter).catch((error: Error) => {
        this.logger.warn(`A dead letter could not be taken in, and stays where it is: ${error.message}`);
        letter.retry();
      });
    });
    this.subscription.catch((error: Error) => this.logger.warn(`Dead letters are not consumed: ${error.message}`));
  }

  async onModuleDestroy(): Promise<void> {
    // A subscription that never came to be has nothing to cancel; closing the publisher ends the attempt.
    const started = await Promise.race([this.subscription?.catch(() => undefined), Promise.resolve(undefined)]);
    await started?.cancel();
  }

  private async bury(letter: DeadLetter): Promise<void> {
    const { taskId, vmId, generation } = letter.task;
    this.logger.error(`Task ${taskId} of VM ${vmId} died in queue ${letter.queue}: ${letter.reason}`);
    const callback = await this.dataSource.transaction(async (transaction) => {
      const [vm] = await transaction.query<AffectedVm[]>(
        `SELECT id, organization_id, name, status, observed, callback_url IS NOT NULL AS has_callback
           FROM virtual_machine WHERE id = $1 AND generation = $2 AND deleted_at IS NULL FOR UPDATE`,
        [vmId, generation],
      );
      const [, buried] = await transaction.query<[unknown, number]>(
        `UPDATE task SET state = 'dead', finished_at = now(), last_error = $2
          WHERE id = $1 AND state IN ('pending', 'published')`,
        [taskId, letter.reason],
      );
      // An older generation, or one that was reported on after all: no news.
      if (vm === undefined || buried === 0) return false;
      await transaction.query(
        `UPDATE virtual_machine SET status = 'ERROR', observed = 'failed', observed_generation = generation, fault = $2
          WHERE id = $1`,
        [vm.id, FAULT],
      );
      await writeStatusChanges(transaction, [
        {
          vmId: vm.id,
          organizationId: vm.organization_id,
          name: vm.name,
          from: vm.status,
          status: 'ERROR',
          observed: 'failed',
          fault: FAULT,
          userId: null,
          hasCallback: vm.has_callback,
        },
      ]);
      await settleSnapshots(transaction, [{ vmId: vm.id, generation, outcome: undefined, over: true, fault: FAULT }]);
      return vm.has_callback;
    });
    if (callback) this.deliverer.wake();
    letter.ack();
  }
}
