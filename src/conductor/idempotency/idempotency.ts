/**
 * `Idempotency-Key`: a client that does not know whether its request arrived sends it again, and gets the first
 * answer instead of a second VM. The answer is written in the transaction of the change itself (see vm-insertion.ts),
 * so there is no moment at which one exists without the other. Refusals are not remembered: they changed nothing.
 */
import { Injectable, OnModuleDestroy, OnModuleInit } from '@nestjs/common';
import { createHash } from 'node:crypto';
import { DataSource } from 'typeorm';
import type { OrganizationId } from '../../protocol/ids.js';
import { ApiError, badRequest } from '../http/api-error.js';

/** Long enough for any client's retries. */
const KEPT_HOURS = 24;

export interface IdempotentRequest {
  readonly key: string;
  readonly requestHash: string;
}

@Injectable()
export class Idempotency implements OnModuleInit, OnModuleDestroy {
  private sweeper: NodeJS.Timeout | undefined;

  constructor(private readonly dataSource: DataSource) {}

  onModuleInit(): void {
    this.sweeper = setInterval(() => void this.forgetOld().catch(() => undefined), 3_600_000);
    this.sweeper.unref();
  }

  onModuleDestroy(): void {
    clearInterval(this.sweeper);
  }

  /** @returns undefined when the client sent no key. */
  read(header: string | undefined, operation: string, body: unknown): IdempotentRequest | undefined {
    if (header === undefined) return undefined;
    if (!/^[\x21-\x7e]{1,255}$/.test(header))
      throw badRequest('Idempotency-Key must have 1 to 255 printable ASCII characters and no spaces.');
    const requestHash = createHash('sha256').update(`${operation}\n${JSON.stringify(body)}`).digest('hex');
    return { key: header, requestHash };
  }

  /** The first answer to this very request, if there was one. @throws ApiError 422 when the key stands for another. */
  async firstAnswer<Answer>(organizationId: OrganizationId, request: IdempotentRequest): Promise<Answer | undefined> {
    const [row] = await this.dataSource.query<{ request_hash: string; response: Answer }[]>(
      'SELECT request_hash, response FROM idempotency_key WHERE organization_id = $1 AND key = $2',
      [organizationId, request.key],
    );
    if (row === undefined) return undefined;
    if (row.request_hash !== request.requestHash)
      throw new ApiError(422, 'This Idempotency-Key was used for a different request. Use a new key for a new request.');
    return row.response;
  }

  private async forgetOld(): Promise<void> {
    await this.dataSource.query('DELETE FROM idempotency_key WHERE created_at < now() - make_interval(hours => $1)', [
      KEPT_HOURS,
    ]);
  }
}
