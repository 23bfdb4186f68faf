/**
 * What every task bus must do, told once and run for each adapter: embedded beside its code, RabbitMQ against a real
 * broker. An adapter that passes may stand in for another without any role noticing.
 */
import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { IncarnationId, TaskId, VmId, VmUuid } from '../protocol/ids.js';
import { PROTOCOL_VERSION, type ConvergeTask } from '../protocol/task.js';
import { REDELIVERY_LIMIT, type DeadLetter, type Delivery, type TaskConsumer, type TaskPublisher } from './task-bus.js';

export interface TaskBusHarness {
  readonly publisher: TaskPublisher;
  /** A consumer of its own, as each worker process has one. */
  consumer(): TaskConsumer;
  /** Closes all it has handed out. */
  close(): Promise<void>;
}

export function exampleTask(generation = 1): ConvergeTask {
  return {
    version: PROTOCOL_VERSION,
    taskId: randomUUID() as TaskId,
    vmId: 7 as VmId,
    vmUuid: randomUUID() as VmUuid,
    incarnationId: 9 as IncarnationId,
    generation,
    spec: {
      name: 'brave-otter',
      power: 'running',
      vcpus: 2,
      memoryMib: 2048,
      diskGib: 20,
      network: { address: '10.128.0.2', mac: '02:00:0a:80:00:02', subnet: '10.128.0.0/20', gateway: '10.128.0.1' },
      image: { name: 'debian-12', disk: { url: '/images/debian-12', sha256: 'ab'.repeat(32), format: 'qcow2' } },
    },
  };
}

/** Collects what a handler receives and lets a test wait for it. */
export class Inbox<Message> {
  readonly received: Message[] = [];
  private wake: () => void = () => undefined;

  readonly put = (message: Message): void => {
    this.received.push(message);
    this.wake();
  };

  /** Waits until `count` messages have come in all; the test's own timeout is the limit. */
  async atLeast(count: number): Promise<Message[]> {
    while (this.received.length < count) await new Promise<void>((resolve) => (this.wake = resolve));
    return this.received;
  }
}

export function describeTaskBus(name: string, makeHarness: () => Promise<TaskBusHarness>): void {
  describe(`the ${name} task bus`, () => {
    let harness: TaskBusHarness;
    let publisher: TaskPublisher;
    let node: string;

    beforeEach(async () => {
      harness = await makeHarness();
      publisher = harness.publisher;
      node = `node-${randomUUID()}`;
    });

    afterEach(async () => await harness.close());

    const ids = (messages: readonly { task: ConvergeTask }[]): string[] => messages.map(({ task }) => task.taskId);

    it('brings a task to the node it is for, unchanged', async () => {
      const inbox = new Inbox<Delivery>();
      await harness.consumer().consume(node, 1, inbox.put);
      const task = exampleTask();

      expect(await publisher.publish(node, task)).toBe('confirmed');

      const [delivery] = await inbox.atLeast(1);
      expect(delivery!.task).toEqual(task);
      expect(delivery!.redelivered).toBe(false);
    });

    it('keeps tasks for a node whose queue is declared until its worker comes', async () => {
      await publisher.declareQueue(node);
      const tasks = [exampleTask(1), exampleTask(2), exampleTask(3)];
      for (const task of tasks) await publisher.publish(node, task);

      const inbox = new Inbox<Delivery>();
      await harness.consumer().consume(node, 10, inbox.put);

      expect(ids(await inbox.atLeast(3))).toEqual(ids(tasks.map((task) => ({ task }))));
    });

    it('says that a task for a node without a queue went nowhere', async () => {
      expect(await publisher.publish(node, exampleTask())).toBe('unroutable');
    });

    it('tells the outcome of each of many publishes under way at once', async () => {
      await publisher.declareQueue(node);
      const outcomes = await Promise.all(
        Array.from({ length: 400 }, (_, i) => publisher.publish(i % 2 ? node : `${node}-unknown`, exampleTask())),
      );
      expect(outcomes).toEqual(Array.from({ length: 400 }, (_, i) => (i % 2 ? 'confirmed' : 'unroutable')));
    });

    it('declares a queue again without harm to what is in it', async () => {
      await publisher.declareQueue(node);
      await publisher.publish(node, exampleTask());
      await publisher.declareQueue(node);

      const inbox = new Inbox<Delivery>();
      await harness.consumer().consume(node, 1, inbox.put);
      await inbox.atLeast(1);
    });

    it('never runs the worker inside the call that publishes', async () => {
      let inside = false;
      const seenInside: boolean[] = [];
      const inbox = new Inbox<Delivery>();
      await harness.consumer().consume(node, 1, (delivery) => {
        seenInside.push(inside);
        inbox.put(delivery);
      });
      inside = true;
      const published = publisher.publish(node, exampleTask());
      inside = false;
      await published;
      await inbox.atLeast(1);
      expect(seenInside).toEqual([false]);
    });

    it('hands out no more than the prefetch until one is acknowledged', async () => {
      const inbox = new Inbox<Delivery>();
      await harness.consumer().consume(node, 2, inbox.put);
      const other = new Inbox<Delivery>();
      await harness.consumer().consume(`${node}-other`, 10, other.put);
      for (let i = 0; i < 3; i++) await publisher.publish(node, exampleTask());
      // A later task of another queue has arrived: the third of this one would have too, had it been handed out.
      await publisher.publish(`${node}-other`, exampleTask());
      await other.atLeast(1);
      expect((await inbox.atLeast(2)).length).toBe(2);

      inbox.received[0]!.ack();
      await inbox.atLeast(3);
    });

    it('shares one queue among several consumers, each task to one of them', async () => {
      const first = new Inbox<Delivery>();
      const second = new Inbox<Delivery>();
      await harness.consumer().consume(node, 2, first.put);
      await harness.consumer().consume(node, 2, second.put);
      const tasks = Array.from({ length: 4 }, () => exampleTask());
      for (const task of tasks) await publisher.publish(node, task);

      await Promise.all([first.atLeast(2), second.atLeast(2)]);
      expect(ids([...first.received, ...second.received]).sort()).toEqual(tasks.map((task) => task.taskId).sort());
    });

    it('delivers a task again that is to be retried, and says so', async () => {
      const inbox = new Inbox<Delivery>();
      await harness.consumer().consume(node, 1, inbox.put);
      const task = exampleTask();
      await publisher.publish(node, task);

      (await inbox.atLeast(1))[0]!.retry();

      const again = (await inbox.atLeast(2))[1]!;
      expect(again.task).toEqual(task);
      expect(again.redelivered).toBe(true);
    });

    it('delivers a task again when the handler throws', async () => {
      const inbox = new Inbox<Delivery>();
      await harness.consumer().consume(node, 1, (delivery) => {
        inbox.put(delivery);
        if (inbox.received.length === 1) throw new Error('the worker stumbled');
      });
      await publisher.publish(node, exampleTask());
      expect((await inbox.atLeast(2))[1]!.redelivered).toBe(true);
    });

    it('forgets an acknowledged task', async () => {
      const inbox = new Inbox<Delivery>();
      const worker = harness.consumer();
      await worker.consume(node, 1, inbox.put);
      await publisher.publish(node, exampleTask());
      const later = exampleTask();
      await publisher.publish(node, later);
      (await inbox.atLeast(1))[0]!.ack();
      await inbox.atLeast(2);
      await worker.close();

      const next = new Inbox<Delivery>();
      await harness.consumer().consume(node, 10, next.put);
      expect(ids(await next.atLeast(1))).toEqual([later.taskId]);
    });

    it('ignores a second word about the same delivery', async () => {
      const inbox = new Inbox<Delivery>();
      await harness.consumer().consume(node, 1, inbox.put);
      await publisher.publish(node, exampleTask());
      const [delivery] = await inbox.atLeast(1);
      delivery!.ack();
      delivery!.retry();
      delivery!.reject();

      const later = exampleTask();
      await publisher.publish(node, later);
      expect((await inbox.atLeast(2))[1]!.task).toEqual(later);
    });

    it('gives the unacknowledged tasks of a worker that goes away to the next one', async () => {
      const inbox = new Inbox<Delivery>();
      const worker = harness.consumer();
      await worker.consume(node, 5, inbox.put);
      const task = exampleTask();
      await publisher.publish(node, task);
      const [lost] = await inbox.atLeast(1);
      await worker.close();
      lost!.ack();

      const next = new Inbox<Delivery>();
      await harness.consumer().consume(node, 5, next.put);
      const [again] = await next.atLeast(1);
      expect(again!.task).toEqual(task);
      expect(again!.redelivered).toBe(true);
    });

    it('delivers nothing after cancel, but lets what is in hand be acknowledged', async () => {
      const inbox = new Inbox<Delivery>();
      const worker = harness.consumer();
      const subscription = await worker.consume(node, 1, inbox.put);
      await publisher.publish(node, exampleTask());
      await inbox.atLeast(1);
      await subscription.cancel();
      const later = exampleTask();
      await publisher.publish(node, later);
      inbox.received[0]!.ack();

      const next = new Inbox<Delivery>();
      await harness.consumer().consume(node, 10, next.put);
      expect(ids(await next.atLeast(1))).toEqual([later.taskId]);
      expect(inbox.received.length).toBe(1);
    });

    it('sends a rejected task to the dead letters, with its queue and the reason', async () => {
      const letters = new Inbox<DeadLetter>();
      await publisher.consumeDeadLetters(letters.put);
      const inbox = new Inbox<Delivery>();
      await harness.consumer().consume(node, 1, inbox.put);
      const task = exampleTask();
      await publisher.publish(node, task);
      (await inbox.atLeast(1))[0]!.reject();

      const [letter] = await letters.atLeast(1);
      expect(letter).toMatchObject({ task, queue: node, reason: 'rejected' });
      letter!.ack();
    });

    it('sends a task to the dead letters that was retried too often', async () => {
      const letters = new Inbox<DeadLetter>();
      await publisher.consumeDeadLetters(letters.put);
      const inbox = new Inbox<Delivery>();
      await harness.consumer().consume(node, 1, (delivery) => {
        inbox.put(delivery);
        delivery.retry();
      });
      const task = exampleTask();
      await publisher.publish(node, task);

      const [letter] = await letters.atLeast(1);
      expect(letter).toMatchObject({ task, queue: node, reason: 'delivery_limit' });
      expect(inbox.received.length).toBe(1 + REDELIVERY_LIMIT);
      letter!.ack();
    });

    it('keeps a dead letter until it is acknowledged', async () => {
      const letters = new Inbox<DeadLetter>();
      await publisher.consumeDeadLetters(letters.put);
      await harness.consumer().consume(node, 1, (delivery) => delivery.reject());
      const task = exampleTask();
      await publisher.publish(node, task);
      (await letters.atLeast(1))[0]!.retry();

      const again = (await letters.atLeast(2))[1]!;
      expect(again).toMatchObject({ task, queue: node, reason: 'rejected' });
      again.ack();
    });

    it('refuses to publish once it is closed', async () => {
      await publisher.declareQueue(node);
      expect(publisher.connected).toBe(true);
      await publisher.close();
      expect(publisher.connected).toBe(false);
      await expect(publisher.publish(node, exampleTask())).rejects.toThrow();
    });
  });
}
