/**
 * The task bus of a single process: the same contract as RabbitMQ, without a server. Conductor and workers of one
 * process share one instance. Nothing survives the process, and nothing needs to: the database knows every task, and
 * the relay publishes again what was not finished.
 *
 * A worker takes a handle of its own by `consumer()`, so that its `close` gives back its messages and no one else's.
 */
import type { Logger } from 'pino';
import type { ConvergeTask } from '../../protocol/task.js';
import {
  REDELIVERY_LIMIT,
  type DeadLetter,
  type Delivery,
  type PublishOutcome,
  type Subscription,
  type TaskConsumer,
  type TaskPublisher,
} from '../task-bus.js';
import { MemoryQueue, type MemoryConsumer } from './memory-queue.js';

interface QueuedTask {
  readonly task: ConvergeTask;
  redeliveries: number;
}

type Corpse = Pick<DeadLetter, 'task' | 'queue' | 'reason'>;

export class EmbeddedTaskBus implements TaskPublisher, TaskConsumer {
  private readonly queues = new Map<string, MemoryQueue<QueuedTask>>();
  private readonly deadLetters = new MemoryQueue<Corpse>();
  private readonly consumers = new Set<MemoryConsumer>();
  private open = true;

  constructor(private readonly logger: Logger) {}

  get connected(): boolean {
    return this.open;
  }

  /** A consumer with a life of its own, for one worker. */
  consumer(): TaskConsumer {
    return new EmbeddedTaskConsumer((node, prefetch, onDelivery) => this.attach(node, prefetch, onDelivery));
  }

  // Copied, as a wire would: neither side sees what the other does to its object afterwards.
  async publish(node: string, task: ConvergeTask): Promise<PublishOutcome> {
    this.assertOpen();
    const queue = this.queues.get(node);
    if (!queue) return 'unroutable';
    queue.push({ task: structuredClone(task), redeliveries: 0 });
    return 'confirmed';
  }

  async declareQueue(node: string): Promise<void> {
    this.assertOpen();
    this.queueOf(node);
  }

  async consume(node: string, prefetch: number, onDelivery: (delivery: Delivery) => void): Promise<Subscription> {
    const consumer = this.attach(node, prefetch, onDelivery);
    return { cancel: async () => consumer.cancel() };
  }

  async consumeDeadLetters(onDeadLetter: (letter: DeadLetter) => void): Promise<Subscription> {
    this.assertOpen();
    const consumer = this.deadLetters.attach(
      Number.POSITIVE_INFINITY,
      (corpse, settle) => {
        const retry = (): void => void (settle() && this.deadLetters.push(corpse));
        this.guarded(() => onDeadLetter({ ...corpse, ack: () => void settle(), retry }), retry);
      },
      (corpse) => corpse,
    );
    this.consumers.add(consumer);
    return { cancel: async () => consumer.cancel() };
  }

  async close(): Promise<void> {
    this.open = false;
    for (const consumer of this.consumers) consumer.giveBack();
    this.consumers.clear();
  }

  private attach(node: string, prefetch: number, onDelivery: (delivery: Delivery) => void): MemoryConsumer {
    this.assertOpen();
    const queue = this.queueOf(node);
    const consumer = queue.attach(
      prefetch,
      (queued, settle) => {
        const retry = (): void => {
          if (!settle()) return;
          const again = this.redeliverable(node, queued);
          if (again) queue.push(again);
        };
        const delivery: Delivery = {
          task: queued.task,
          redelivered: queued.redeliveries > 0,
          ack: () => void settle(),
          retry,
          reject: () => void (settle() && this.bury(node, queued, 'rejected')),
        };
        this.guarded(() => onDelivery(delivery), retry);
      },
      (queued) => this.redeliverable(node, queued),
    );
    this.consumers.add(consumer);
    return consumer;
  }

  private redeliverable(node: string, queued: QueuedTask): QueuedTask | undefined {
    if (queued.redeliveries >= REDELIVERY_LIMIT) return this.bury(node, queued, 'delivery_limit');
    return { task: queued.task, redeliveries: queued.redeliveries + 1 };
  }

  private bury(node: string, queued: QueuedTask, reason: string): undefined {
    this.deadLetters.push({ task: queued.task, queue: node, reason });
  }

  private guarded(handler: () => void, retry: () => void): void {
    try {
      handler();
    } catch (error) {
      this.logger.error({ err: error }, 'the message handler failed, delivering it again');
      retry();
    }
  }

  private queueOf(node: string): MemoryQueue<QueuedTask> {
    const queue = this.queues.get(node) ?? new MemoryQueue<QueuedTask>();
    this.queues.set(node, queue);
    return queue;
  }

  private assertOpen(): void {
    if (!this.open) throw new Error('The task bus is closed.');
  }
}

class EmbeddedTaskConsumer implements TaskConsumer {
  private readonly attached = new Set<MemoryConsumer>();
  private open = true;

  constructor(
    private readonly attach: (node: string, prefetch: number, onDelivery: (delivery: Delivery) => void) => MemoryConsumer,
  ) {}

  get connected(): boolean {
    return this.open;
  }

  async consume(node: string, prefetch: number, onDelivery: (delivery: Delivery) => void): Promise<Subscription> {
    if (!this.open) throw new Error('The consumer is closed.');
    const consumer = this.attach(node, prefetch, onDelivery);
    this.attached.add(consumer);
    return { cancel: async () => consumer.cancel() };
  }

  async close(): Promise<void> {
    this.open = false;
    for (const consumer of this.attached) consumer.giveBack();
    this.attached.clear();
  }
}
