/**
 * What keeps the outbox from standing still: published tasks past their deadline go back to the relay (the broker may
 * have been wiped, the worker killed for good), and finished ones are swept away after a week.
 */
import { Injectable, Logger, OnModuleDestroy, OnModuleInit } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { TaskRelay } from './task-relay.js';

const CHECK_MS = 5_000;
const KEPT_DAYS = 7;

@Injectable()
export class TaskDeadlines implements OnModuleInit, OnModuleDestroy {
  private readonly logger = new Logger(TaskDeadlines.name);
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly dataSource: DataSource,
    private readonly relay: TaskRelay,
  ) {}

  onModuleInit(): void {
    this.timer = setInterval(() => {
      void this.check().catch((error: Error) => this.logger.warn(`Deadlines were not checked: ${error.message}`));
    }, CHECK_MS);
  }

  onModuleDestroy(): void {
    clearInterval(this.timer);
  }

  private async check(): Promise<void> {
    const [, overdue] = await this.dataSource.query<[unknown, number]>(
      `UPDATE task SET state = 'pending', available_at = now(), last_error = 'no report before the deadline'
        WHERE state = 'published' AND deadline_at < now()`,
    );
    if (overdue > 0) {
      this.logger.warn(`${overdue} task(s) were not reported on before their deadline; publishing them again.`);
      this.relay.wake();
    }
    await this.dataSource.query(
      `DELETE FROM task WHERE id IN (SELECT id FROM task WHERE finished_at < now() - make_interval(days => $1) LIMIT 1000)`,
      [KEPT_DAYS],
    );
  }
}
