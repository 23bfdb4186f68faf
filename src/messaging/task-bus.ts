/**
 * The task bus: how a task reaches the one node that shall do it. A port with two adapters, RabbitMQ and embedded,
 * held to one contract (`task-bus.contract.ts`).
 *
 * The bus is a doorbell: the database knows every task, so an adapter may lose or repeat messages, but it must say
 * the truth about whether a message was taken over (`publish`), and must give one consumer's unacknowledged messages
 * back when the consumer goes away.
 */
import type { ConvergeTask } from '../protocol/task.js';

/** `unroutable`: nobody has declared a queue of that name; the message is dropped and the publisher keeps the task. */
export type PublishOutcome = 'confirmed' | 'unroutable';

/** A message is delivered once, and then again at most this often before it becomes a dead letter. */
export const REDELIVERY_LIMIT = 5;

export interface Delivery {
  readonly task: ConvergeTask;
  /** The message was delivered before and not acknowledged. */
  readonly redelivered: boolean;
  /** The effect is reported: forget the message. */
  ack(): void;
  /** Not done: deliver it again (to this consumer or another of the same queue), up to the delivery limit. */
  retry(): void;
  /** Will never be done: on to the dead-letter exchange. */
  reject(): void;
}

export interface DeadLetter {
  readonly task: ConvergeTask;
  /** The queue it died in, and why: `rejected`, `delivery_limit` … as the broker says. */
  readonly queue: string;
  readonly reason: string;
  ack(): void;
  retry(): void;
}

export interface Subscription {
  /** Takes no new deliveries; those in hand can still be acknowledged. Resolves when the broker knows. */
  cancel(): Promise<void>;
}

export interface TaskPublisher {
  /**
   * Hands one task to the queue of a node. Resolves when the broker has confirmed it as durable, or has returned it.
   * @throws when the broker is not reachable or refuses: the caller keeps the task and tries later.
   */
  publish(node: string, task: ConvergeTask): Promise<PublishOutcome>;
  /** Declares the durable queue of a node, so that tasks can be routed before its worker first consumes. */
  declareQueue(node: string): Promise<void>;
  /** Tasks that were rejected or exceeded the delivery limit. Survives reconnects. */
  consumeDeadLetters(onDeadLetter: (letter: DeadLetter) => void): Promise<Subscription>;
  /** Whether publishing would work now, for readiness. */
  readonly connected: boolean;
  close(): Promise<void>;
}

export interface TaskConsumer {
  /**
   * Consumes the queue of a node, at most `prefetch` unacknowledged deliveries at a time. Survives reconnects:
   * resolves after the first successful start, or rejects if `cancel` is called before.
   */
  consume(node: string, prefetch: number, onDelivery: (delivery: Delivery) => void): Promise<Subscription>;
  readonly connected: boolean;
  close(): Promise<void>;
}
