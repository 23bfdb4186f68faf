/** The task bus of the all-in-one cloud: RabbitMQ where AMQP_URL names one, else the embedded one. */
import type { Logger } from 'pino';
import type { Config } from '../config/settings.js';
import { EmbeddedTaskBus } from '../messaging/embedded/embedded-task-bus.js';
import { RabbitMqTaskConsumer } from '../messaging/rabbitmq/task-consumer.js';
import { RabbitMqTaskPublisher } from '../messaging/rabbitmq/task-publisher.js';
import type { TaskConsumer, TaskPublisher } from '../messaging/task-bus.js';

export interface TaskBus {
  readonly publisher: TaskPublisher;
  /** One for each node. */
  consumer(): TaskConsumer;
  close(): Promise<void>;
}

export function openTaskBus({ amqpUrl }: Config, logger: Logger): TaskBus {
  const embedded = amqpUrl === undefined ? new EmbeddedTaskBus(logger) : undefined;
  const publisher = embedded ?? new RabbitMqTaskPublisher(amqpUrl!, logger);
  const consumers: TaskConsumer[] = [];
  return {
    publisher,
    consumer() {
      const consumer = embedded?.consumer() ?? new RabbitMqTaskConsumer(amqpUrl!, logger);
      consumers.push(consumer);
      return consumer;
    },
    async close() {
      await Promise.all(consumers.map((consumer) => consumer.close()));
      await publisher.close();
    },
  };
}
