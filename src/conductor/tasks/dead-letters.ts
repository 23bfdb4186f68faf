/**
 * Tasks that no worker could take in: rejected, or delivered too often. Each ends as what it means for the VM's
 * owner: a failed task, a VM in ERROR with the reason, an event and a webhook. Nothing is left to wait for ever.
 */
import { Inject, Injectable, Logger, OnModuleDestroy, OnModuleInit } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { DeadLetter, Subscription, TaskPublisher } from '../../messaging/task-bus.js';
import { CallbackDeliverer } from '../callbacks/callback-deliverer.js';
import { TASK_PUBLISHER } from './task-publisher.token.js';
import { giveUpVm, GIVEN_UP_COLUMNS, type GivenUpVm } from './vm-giving-up.js';

const FAULT = 'The compute node could not carry out what was asked of it. Delete the virtual machine and try again.';

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
      const [vm] = await transaction.query<GivenUpVm[]>(
        `SELECT ${GIVEN_UP_COLUMNS} FROM virtual_machine
          WHERE id = $1 AND generation = $2 AND deleted_at IS NULL FOR UPDATE`,
        [vmId, generation],
      );
      const [, buried] = await transaction.query<[unknown, number]>(
        `UPDATE task SET state = 'dead', finished_at = now(), last_error = $2
          WHERE id = $1 AND state IN ('pending', 'published')`,
        [taskId, letter.reason],
      );
      // An older generation, or one that was reported on after all: no news.
      if (vm === undefined || buried === 0) return false;
      return await giveUpVm(transaction, vm, FAULT);
    });
    if (callback) this.deliverer.wake();
    letter.ack();
  }
}
