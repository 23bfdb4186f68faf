/**
 * What Baton declares on the broker: one direct exchange, one durable quorum queue per node with the node's name, and
 * one dead-letter exchange with its queue. Both roles declare it, in any order: declarations are idempotent, and an
 * existing queue with other arguments is refused by the broker rather than changed.
 *
 * Dead-lettering is at-most-once: a dead letter is news of a failure, and the database knows the task anyway, whose
 * deadline passes if the news is lost. At-least-once keeps one more process per queue on the broker, and was seen to
 * hold a letter back for longer than ten seconds on RabbitMQ 3.10.
 */
import type { Channel } from 'amqplib';
import { REDELIVERY_LIMIT } from '../task-bus.js';

export const TASK_EXCHANGE = 'task-distribution';
const DEAD_LETTER_EXCHANGE = 'task-dead-letter';
export const DEAD_LETTER_QUEUE = 'task-dead-letters';

const NODE_QUEUE_ARGUMENTS = {
  'x-queue-type': 'quorum',
  'x-delivery-limit': REDELIVERY_LIMIT,
  'x-dead-letter-exchange': DEAD_LETTER_EXCHANGE,
};

export async function declareExchanges(channel: Channel): Promise<void> {
  await channel.assertExchange(TASK_EXCHANGE, 'direct', { durable: true });
  await channel.assertExchange(DEAD_LETTER_EXCHANGE, 'fanout', { durable: true });
  await channel.assertQueue(DEAD_LETTER_QUEUE, { durable: true, arguments: { 'x-queue-type': 'quorum' } });
  await channel.bindQueue(DEAD_LETTER_QUEUE, DEAD_LETTER_EXCHANGE, '');
}

export async function declareNodeQueue(channel: Channel, node: string): Promise<void> {
  await channel.assertQueue(node, { durable: true, arguments: NODE_QUEUE_ARGUMENTS });
  await channel.bindQueue(node, TASK_EXCHANGE, node);
}
