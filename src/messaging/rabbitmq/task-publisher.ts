/**
 * Publishes tasks to RabbitMQ: persistent, mandatory, confirmed. Any number of publishes may be under way at once on
 * one channel; each has its own outcome. When the channel is lost they all fail, because nobody can know which ones
 * the broker took: the caller keeps the tasks and publishes again, and tasks are levels, so a second copy is harmless.
 */
import type { Channel, ConfirmChannel } from 'amqplib';
import type { Logger } from 'pino';
import type { ConvergeTask } from '../../protocol/task.js';
import type { DeadLetter, PublishOutcome, Subscription, TaskPublisher } from '../task-bus.js';
import { encodeTask } from '../task-message.js';
import { RabbitMqConnection } from './connection.js';
import { openDeadLetter } from './dead-letter.js';
import { answeredInTime, keepAlive, lossOf } from './keep-alive.js';
import { PendingConfirms } from './pending-confirms.js';
import { QueueSubscription } from './queue-subscription.js';
import { DEAD_LETTER_QUEUE, TASK_EXCHANGE, declareExchanges, declareNodeQueue } from './topology.js';

const CONFIRM_TIMEOUT_MS = 30_000;
const WRITE_BUFFER_MESSAGES = 1_024;
const DEAD_LETTER_PREFETCH = 50;

export class RabbitMqTaskPublisher implements TaskPublisher {
  private readonly connection: RabbitMqConnection;
  private readonly confirms = new PendingConfirms(CONFIRM_TIMEOUT_MS);
  private readonly stop = new AbortController();
  private readonly running: Promise<void>;
  private readonly subscriptions = new Set<QueueSubscription>();
  private channel?: ConfirmChannel;
  /** Set while the socket is full: publishes wait for it instead of growing the buffer. */
  private congestion?: Promise<void>;

  constructor(
    url: string,
    private readonly logger: Logger,
  ) {
    this.connection = new RabbitMqConnection(url, logger, 'baton publisher');
    this.running = keepAlive(
      (established) => this.session(established),
      this.stop.signal,
      (reason, retryInMs) => logger.warn({ reason: reason.message, retryInMs }, 'not publishing tasks, will retry'),
    );
  }

  get connected(): boolean {
    return this.channel !== undefined && this.connection.blocked === undefined;
  }

  async publish(node: string, task: ConvergeTask): Promise<PublishOutcome> {
    const content = encodeTask(task);
    while (this.congestion) await this.congestion;
    const channel = this.usableChannel();
    return await this.confirms.add((id) => {
      const room = channel.publish(
        TASK_EXCHANGE,
        node,
        content,
        {
          mandatory: true,
          persistent: true,
          messageId: task.taskId,
          correlationId: id,
          contentType: 'application/json',
        },
        (refusal: Error | null) => this.confirms.confirmed(id, refusal),
      );
      if (!room && !this.congestion) this.waitForRoom(channel);
    });
  }

  async declareQueue(node: string): Promise<void> {
    this.usableChannel();
    const connection = await this.connection.live(this.stop.signal);
    // On a channel of its own: the broker closes the channel of a refused declaration, with all its publishes.
    const channel = await connection.createChannel();
    const lost = lossOf(channel, 'the channel');
    try {
      await answeredInTime(Promise.race([declareNodeQueue(channel, node), lost]), `the declaration of the queue ${node}`);
    } finally {
      void channel.close().catch(() => undefined);
    }
  }

  async consumeDeadLetters(onDeadLetter: (letter: DeadLetter) => void): Promise<Subscription> {
    const subscription = new QueueSubscription(
      this.connection,
      {
        queue: DEAD_LETTER_QUEUE,
        prefetch: DEAD_LETTER_PREFETCH,
        declare: (channel: Channel) => declareExchanges(channel),
        onMessage: (delivery) => {
          const letter = openDeadLetter(delivery, this.logger);
          if (letter) onDeadLetter(letter);
        },
      },
      this.logger,
    );
    this.subscriptions.add(subscription);
    await subscription.started();
    return subscription;
  }

  async close(): Promise<void> {
    this.stop.abort();
    await Promise.all([...this.subscriptions].map((subscription) => subscription.cancel()));
    await this.connection.close();
    await this.running;
    this.confirms.close();
  }

  private usableChannel(): ConfirmChannel {
    if (!this.channel) throw new Error('RabbitMQ is not connected: the task was not published.');
    const blocked = this.connection.blocked;
    if (blocked !== undefined) throw new Error(`RabbitMQ accepts no publishes for now (${blocked}).`);
    return this.channel;
  }

  private waitForRoom(channel: ConfirmChannel): void {
    this.congestion = new Promise((resolve) => {
      const over = (): void => {
        this.congestion = undefined;
        resolve();
      };
      channel.once('drain', over);
      channel.once('close', over);
    });
  }

  private async session(established: () => void): Promise<void> {
    const connection = await this.connection.live(this.stop.signal);
    const channel = await connection.createConfirmChannel({ highWaterMark: WRITE_BUFFER_MESSAGES });
    const lost = lossOf(channel, 'the channel');
    channel.on('return', (message) => this.confirms.returned(message.properties.correlationId as string));
    await answeredInTime(declareExchanges(channel), 'the declaration of the exchanges');
    this.channel = channel;
    established();
    try {
      await lost;
    } catch (reason) {
      this.confirms.failAll(new Error(`The connection to RabbitMQ was lost: ${(reason as Error).message}`));
      throw reason;
    } finally {
      this.channel = undefined;
    }
  }
}
