/**
 * Consumes the queues of compute nodes from RabbitMQ. A process with several workers shares one connection; each
 * subscription has its own channel, so a refused queue of one node does not disturb the others. A message that is no
 * task, or of a newer protocol, goes to the dead letters with a log line and never reaches the worker.
 */
import type { Channel } from 'amqplib';
import type { Logger } from 'pino';
import type { ConvergeTask } from '../../protocol/task.js';
import type { Delivery, Subscription, TaskConsumer } from '../task-bus.js';
import { decodeTask } from '../task-message.js';
import { RabbitMqConnection } from './connection.js';
import { QueueSubscription, type QueueDelivery } from './queue-subscription.js';
import { declareExchanges, declareNodeQueue } from './topology.js';

export class RabbitMqTaskConsumer implements TaskConsumer {
  private readonly connection: RabbitMqConnection;
  private readonly subscriptions = new Set<QueueSubscription>();

  constructor(
    url: string,
    private readonly logger: Logger,
  ) {
    this.connection = new RabbitMqConnection(url, logger, 'baton consumer');
  }

  get connected(): boolean {
    return this.connection.connected;
  }

  async consume(node: string, prefetch: number, onDelivery: (delivery: Delivery) => void): Promise<Subscription> {
    const subscription = new QueueSubscription(
      this.connection,
      {
        queue: node,
        prefetch,
        declare: async (channel: Channel) => {
          await declareExchanges(channel);
          await declareNodeQueue(channel, node);
        },
        onMessage: (delivery) => this.deliver(node, delivery, onDelivery),
      },
      this.logger,
    );
    this.subscriptions.add(subscription);
    await subscription.started();
    return subscription;
  }

  /** What is still in hand goes back to the queues. */
  async close(): Promise<void> {
    await Promise.all([...this.subscriptions].map((subscription) => subscription.cancel()));
    await this.connection.close();
  }

  private deliver(node: string, delivery: QueueDelivery, onDelivery: (delivery: Delivery) => void): void {
    const { content, fields, properties } = delivery.message;
    let task: ConvergeTask;
    try {
      task = decodeTask(content);
    } catch (error) {
      const problem = (error as Error).message;
      this.logger.error({ node, messageId: properties.messageId as unknown, problem }, 'rejected an unreadable task');
      return delivery.discard();
    }
    onDelivery({
      task,
      redelivered: fields.redelivered,
      ack: () => delivery.ack(),
      retry: () => delivery.requeue(),
      reject: () => delivery.discard(),
    });
  }
}
