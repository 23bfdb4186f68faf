/**
 * Delivers the webhooks of `callback_delivery`: leases what is due, has it sent, records how it went. Any number of
 * conductors may run it. `wake()` after the commit that inserted rows makes delivery immediate; the poll is the net
 * for retries that came due, rows of other conductors that died, and a database that was away.
 *
 * A webhook is delivered at least once: it is repeated, with the same `webhook-id`, if this process dies between the
 * receiver's answer and its record. No network traffic happens inside a transaction.
 */
import {
  Injectable,
  Logger,
  type BeforeApplicationShutdown,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import { setTimeout as sleep } from 'node:timers/promises';
import { CoalescedWork } from './coalesced-work.js';
import { DeliveryQueue, type AttemptRecord, type LeasedDelivery } from './delivery-queue.js';
import { retryPause } from './retry-schedule.js';
import { SigningSecretsService } from './signing-secrets.service.js';
import { CONNECTIONS_PER_HOST, WebhookSender, type Attempt } from './webhook-sender.js';
import { crashPoint } from '../../crash-points.js';

const POLL_MS = 2_000;
const MOST_UNDER_WAY = 64;
const RECORD_RETRY_MS = 1_000;

@Injectable()
export class CallbackDeliverer implements OnApplicationBootstrap, OnModuleDestroy, BeforeApplicationShutdown {
  private readonly logger = new Logger(CallbackDeliverer.name);
  private readonly underWay = new Set<Promise<void>>();
  private readonly busyHosts = new Map<string, number>();
  private readonly leasing = new CoalescedWork(() => this.leaseBatch());
  private readonly recording = new CoalescedWork(() => this.recordBatch());
  private unrecorded: AttemptRecord[] = [];
  private poll: NodeJS.Timeout | undefined;
  private stopping = false;

  constructor(
    private readonly queue: DeliveryQueue,
    private readonly sender: WebhookSender,
    private readonly secrets: SigningSecretsService,
  ) {}

  onApplicationBootstrap(): void {
    this.poll = setInterval(() => this.wake(), POLL_MS);
    this.wake();
  }

  /** There may be something to deliver. Returns at once; may be called as often as one likes. */
  wake(): void {
    if (!this.stopping) this.leasing.request();
  }

  onModuleDestroy(): void {
    this.stopping = true;
    clearInterval(this.poll);
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.leasing.settled();
    await Promise.all(this.underWay);
    await this.recording.settled();
    await this.sender.close();
  }

  private async leaseBatch(): Promise<void> {
    const limit = MOST_UNDER_WAY - this.underWay.size;
    if (limit <= 0 || this.stopping) return;
    try {
      const batch = await this.queue.lease({ limit, perHost: CONNECTIONS_PER_HOST, busy: this.busyHosts });
      if (batch.length > 0) crashPoint('webhook:leased');
      for (const delivery of batch) this.begin(delivery);
      if (batch.length > 0) this.leasing.request();
    } catch (error) {
      this.logger.warn(`Webhooks could not be leased, trying again: ${(error as Error).message}`);
    }
  }

  private begin(delivery: LeasedDelivery): void {
    this.busyHosts.set(delivery.host, (this.busyHosts.get(delivery.host) ?? 0) + 1);
    const attempt = this.deliver(delivery).finally(() => {
      this.underWay.delete(attempt);
      const left = this.busyHosts.get(delivery.host)! - 1;
      if (left > 0) this.busyHosts.set(delivery.host, left);
      else this.busyHosts.delete(delivery.host);
    });
    this.underWay.add(attempt);
  }

  private async deliver(delivery: LeasedDelivery): Promise<void> {
    try {
      const secrets = delivery.secrets.length > 0 ? delivery.secrets : await this.firstSecrets(delivery);
      const attempt = await this.sender.send(delivery, secrets);
      crashPoint('webhook:sent');
      // Looked up only now: the list is replaced whenever a batch is written.
      this.unrecorded.push(recordOf(delivery, attempt));
      this.recording.request();
    } catch (error) {
      // Nothing was sent: the lease runs out and the webhook is tried again.
      this.logger.warn(`Webhook ${delivery.id} could not be signed: ${(error as Error).message}`);
    }
  }

  private async firstSecrets({ organizationId }: LeasedDelivery): Promise<string[]> {
    return (await this.secrets.valid(organizationId)).map(({ secret }) => secret);
  }

  /** While one batch is written, the next one gathers. */
  private async recordBatch(): Promise<void> {
    const batch = this.unrecorded;
    this.unrecorded = [];
    if (batch.length === 0) return;
    try {
      await this.queue.record(batch);
      this.wake();
    } catch (error) {
      this.logger.warn(`${batch.length} webhook outcome(s) could not be recorded: ${(error as Error).message}`);
      // On the way out there is nothing to wait for: the leases run out and another conductor repeats them.
      if (this.stopping) return;
      await sleep(RECORD_RETRY_MS);
      this.unrecorded.unshift(...batch);
      this.recording.request();
    }
  }
}

function recordOf({ id, leaseEnd, attempts }: LeasedDelivery, attempt: Attempt): AttemptRecord {
  const { responseStatus, error } = attempt;
  const pauseMs = attempt.final ? undefined : retryPause(attempts + 1);
  const state = attempt.delivered ? 'delivered' : pauseMs === undefined ? 'failed' : 'pending';
  return { id, leaseEnd, state, responseStatus, error, pauseMs: pauseMs ?? null };
}
