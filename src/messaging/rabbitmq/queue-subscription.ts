/**
 * A consumer of one queue that comes back after a lost connection, a closed channel or a deleted queue. Owns its
 * channel and the bookkeeping of what is in hand.
 *
 * A delivery belongs to the channel it came by: settling it after that channel is gone is ignored, because the broker
 * has already given the message back. Settling twice is ignored too, since the broker would close the channel for it.
 * After `cancel` the channel stays open until the last delivery in hand is settled.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Channel, ConsumeMessage } from 'amqplib';
import type { Logger } from 'pino';
import type { Subscription } from '../task-bus.js';
import type { RabbitMqConnection } from './connection.js';
import { answeredInTime, keepAlive, lossOf } from './keep-alive.js';

const LOOK_AGAIN_MS = 5_000;
/** Where nothing came although something waited: a broker that delivers at all does it sooner. */
const LOOK_TWICE_MS = 1_000;

export interface QueueDelivery {
  readonly message: ConsumeMessage;
  ack(): void;
  requeue(): void;
  /** On to the dead-letter exchange of the queue, if it has one. */
  discard(): void;
}

export interface QueueOptions {
  readonly queue: string;
  readonly prefetch: number;
  readonly declare: (channel: Channel) => Promise<void>;
  readonly onMessage: (delivery: QueueDelivery) => void;
}

/** One life of the consumer, on one channel. */
interface Consumption {
  readonly channel: Channel;
  readonly inHand: Set<number>;
  /** How many have come. */
  received: number;
  open: boolean;
  consumerTag?: string;
}

export class QueueSubscription implements Subscription {
  private readonly stop = new AbortController();
  private readonly firstStart: Promise<void>;
  private current?: Consumption;

  constructor(
    private readonly connection: RabbitMqConnection,
    private readonly options: QueueOptions,
    private readonly logger: Logger,
  ) {
    this.firstStart = new Promise((resolve, reject) => {
      const running = keepAlive(
        (established) => this.session(() => (established(), resolve())),
        this.stop.signal,
        (reason, retryInMs) =>
          logger.warn({ queue: options.queue, reason: reason.message, retryInMs }, 'not consuming, will retry'),
      );
      void running.then(() => reject(new Error(`The subscription to ${options.queue} was cancelled before it began.`)));
    });
    this.firstStart.catch(() => undefined);
  }

  /** Resolves after the first successful start; rejects if the subscription ends before. */
  started(): Promise<void> {
    return this.firstStart;
  }

  async cancel(): Promise<void> {
    this.stop.abort();
    const consumption = this.current;
    if (!consumption?.open || consumption.consumerTag === undefined) return;
    // A channel that closes meanwhile has ended the consumer as well.
    await consumption.channel.cancel(consumption.consumerTag).catch(() => undefined);
    this.closeIfIdle(consumption);
  }

  private async session(established: () => void): Promise<void> {
    const connection = await this.connection.live(this.stop.signal);
    const channel = await connection.createChannel();
    const lost = lossOf(channel, 'the channel');
    const consumption: Consumption = { channel, inHand: new Set(), received: 0, open: true };
    channel.on('close', () => (consumption.open = false));
    this.current = consumption;
    const over = new AbortController();
    const cancelled = new Promise<void>((resolve) => {
      this.stop.signal.addEventListener('abort', () => resolve(), { once: true, signal: over.signal });
    });
    try {
      const deleted = await answeredInTime(this.setUp(consumption), 'to the set-up of the consumer');
      established();
      await Promise.race([lost, deleted.gone, cancelled, this.neglected(consumption, over.signal)]);
    } catch (error) {
      // Not waited for: a broker that has just been silent may be silent to this as well.
      if (consumption.open) void channel.close().catch(() => undefined);
      consumption.open = false;
      throw error;
    } finally {
      over.abort();
    }
  }

  private async setUp(consumption: Consumption): Promise<{ gone: Promise<never> }> {
    await this.options.declare(consumption.channel);
    await consumption.channel.prefetch(this.options.prefetch);
    const { started, gone } = this.startConsumer(consumption);
    await started;
    return { gone };
  }

  /**
   * Rejects when the queue has no consumer, delivers nothing of what waits in it, or does not answer. The broker usually
   * tells a consumer whose queue is deleted, but not one whose queue is declared anew at once. It then has forgotten the
   * consumer; or, where deliveries were in hand, has taken it over into the new queue, hands it as many messages as it may
   * have in hand, and loses them on the way, for their numbers were used before (RabbitMQ 3.10, quorum queues). Closing
   * the channel gives them back.
   */
  private async neglected(consumption: Consumption, over: AbortSignal): Promise<void> {
    const signal = AbortSignal.any([over, this.stop.signal]);
    for (let suspected = false; ; ) {
      const { received } = consumption;
      await sleep(suspected ? LOOK_TWICE_MS : LOOK_AGAIN_MS, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      const { consumerCount, messageCount } = await answeredInTime(consumption.channel.checkQueue(this.options.queue), 'about the queue');
      if (consumerCount === 0) throw new Error('the broker has forgotten the consumer: the queue was declared anew');
      const starved = messageCount > 0 && consumption.received === received && consumption.inHand.size < this.options.prefetch;
      if (starved && suspected) throw new Error(`the broker delivers none of ${messageCount} messages: the queue was declared anew`);
      suspected = starved;
    }
  }

  /** `gone` rejects when the broker ends the consumer, as it does when the queue is deleted. */
  private startConsumer(consumption: Consumption): { started: Promise<void>; gone: Promise<never> } {
    let reject: (reason: Error) => void;
    const gone = new Promise<never>((_resolve, rejectGone) => (reject = rejectGone));
    gone.catch(() => undefined);
    const started = consumption.channel
      .consume(this.options.queue, (message) => {
        if (message === null) reject(new Error('the broker ended the consumer: the queue was deleted'));
        else this.receive(consumption, message);
      })
      .then(async ({ consumerTag }) => {
        consumption.consumerTag = consumerTag;
        if (this.stop.signal.aborted) await this.cancel();
      });
    return { started, gone };
  }

  private receive(consumption: Consumption, message: ConsumeMessage): void {
    const { channel, inHand } = consumption;
    const tag = message.fields.deliveryTag;
    inHand.add(tag);
    consumption.received++;
    const settle = (how: () => void) => () => {
      if (!consumption.open || !inHand.delete(tag)) return;
      how();
      this.closeIfIdle(consumption);
    };
    const delivery: QueueDelivery = {
      message,
      ack: settle(() => channel.ack(message)),
      requeue: settle(() => channel.nack(message, false, true)),
      discard: settle(() => channel.nack(message, false, false)),
    };
    // Between our cancel and the broker's answer more may arrive.
    if (this.stop.signal.aborted) return delivery.requeue();
    try {
      this.options.onMessage(delivery);
    } catch (error) {
      this.logger.error({ queue: this.options.queue, err: error }, 'the message handler failed, delivering it again');
      delivery.requeue();
    }
  }

  private closeIfIdle(consumption: Consumption): void {
    if (!this.stop.signal.aborted || !consumption.open || consumption.inHand.size > 0) return;
    consumption.open = false;
    void consumption.channel.close().catch(() => undefined);
  }
}
