/**
 * Forgets what the audit has kept for as long as it shall. Each conductor looks once a minute at the oldest rows and
 * deletes those that are too old; rows that another one is deleting are left to it. They are found by their numbers,
 * which grow with time, so that no change pays for an index by time.
 */
import { Injectable, Logger, OnModuleDestroy, OnModuleInit } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { InjectConfig } from '../../config/config.module.js';
import type { Config } from '../../config/settings.js';

const EVERY_MS = 60_000;
const MOST_DELETED = 10_000;

const FORGET = `
  WITH oldest AS (SELECT id, time FROM audit_entry ORDER BY id LIMIT ${MOST_DELETED})
  DELETE FROM audit_entry WHERE id IN (
    SELECT a.id FROM audit_entry a JOIN oldest o USING (id)
     WHERE o.time < now() - make_interval(days => $1) FOR UPDATE OF a SKIP LOCKED)`;

@Injectable()
export class AuditRetention implements OnModuleInit, OnModuleDestroy {
  private readonly logger = new Logger(AuditRetention.name);
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly dataSource: DataSource,
    @InjectConfig() private readonly config: Pick<Config, 'auditDays'>,
  ) {}

  onModuleInit(): void {
    this.timer = setInterval(() => {
      void this.forget().catch((error: Error) => this.logger.warn(`Old rows of the audit were not deleted: ${error.message}`));
    }, EVERY_MS);
  }

  onModuleDestroy(): void {
    clearInterval(this.timer);
  }

  /** A bounded number of rows. */
  async forget(): Promise<void> {
    if (this.config.auditDays === 0) return;
    await this.dataSource.query(FORGET, [this.config.auditDays]);
  }
}
