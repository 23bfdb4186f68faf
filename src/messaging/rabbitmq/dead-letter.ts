/**
 * Reads a dead letter off its queue: which task, where it died and why, from the `x-death` header of the broker.
 * What cannot be read as a task of any version can be handed to nobody; it is logged with its id and forgotten,
 * since it would otherwise sit at the head of the queue for ever. The database still knows the task.
 */
import type { Logger } from 'pino';
import type { DeadLetter } from '../task-bus.js';
import { decodeTaskOfAnyVersion } from '../task-message.js';
import type { QueueDelivery } from './queue-subscription.js';

interface Death {
  readonly queue: string;
  readonly reason: string;
}

export function openDeadLetter(delivery: QueueDelivery, logger: Logger): DeadLetter | undefined {
  const { content, properties } = delivery.message;
  const deaths = properties.headers?.['x-death'] as readonly Death[] | undefined;
  const { queue, reason } = deaths?.[0] ?? { queue: 'unknown', reason: 'unknown' };
  try {
    const task = decodeTaskOfAnyVersion(content);
    return { task, queue, reason, ack: () => delivery.ack(), retry: () => delivery.requeue() };
  } catch (error) {
    const problem = (error as Error).message;
    logger.error({ messageId: properties.messageId as unknown, queue, reason, problem }, 'forgot an unreadable dead letter');
    delivery.ack();
    return undefined;
  }
}
