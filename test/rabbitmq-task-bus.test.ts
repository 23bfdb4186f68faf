/** The RabbitMQ adapters: the contract of every task bus, and what only a broker of its own can do to them. */
import { randomUUID } from 'node:crypto';
import { getEventListeners } from 'node:events';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { connect, type ChannelModel } from 'amqplib';
import { pino } from 'pino';
import type { QueueSubscription } from '../src/messaging/rabbitmq/queue-subscription.js';
import { RabbitMqTaskConsumer } from '../src/messaging/rabbitmq/task-consumer.js';
import { RabbitMqTaskPublisher } from '../src/messaging/rabbitmq/task-publisher.js';
import { DEAD_LETTER_QUEUE, TASK_EXCHANGE } from '../src/messaging/rabbitmq/topology.js';
import { describeTaskBus, exampleTask, Inbox, type TaskBusHarness } from '../src/messaging/task-bus.contract.js';
import type { DeadLetter, Delivery } from '../src/messaging/task-bus.js';
import { PROTOCOL_VERSION, type ConvergeTask } from '../src/protocol/task.js';
import { startRabbitMq, type RabbitMqServer } from './support/rabbitmq.js';
import { eventually } from './support/eventually.js';

jest.setTimeout(60_000);

let broker: RabbitMqServer;
let admin: ChannelModel;
const logLines: string[] = [];
const logger = pino({ level: 'info' }, { write: (line: string) => void logLines.push(line) });

beforeAll(async () => (broker = await startRabbitMq()), 120_000);
afterAll(async () => await broker.stop());

async function openHarness(url = broker.url): Promise<TaskBusHarness & { publisher: RabbitMqTaskPublisher }> {
  const publisher = new RabbitMqTaskPublisher(url, logger);
  const consumers: RabbitMqTaskConsumer[] = [];
  await eventually(() => expect(publisher.connected).toBe(true));
  return {
    publisher,
    consumer: () => {
      const consumer = new RabbitMqTaskConsumer(url, logger);
      consumers.push(consumer);
      return consumer;
    },
    close: async () => {
      await Promise.all(consumers.map((consumer) => consumer.close()));
      await publisher.close();
    },
  };
}

describeTaskBus('RabbitMQ', openHarness);

describe('the RabbitMQ task bus', () => {
  let harness: Awaited<ReturnType<typeof openHarness>>;
  let node: string;

  beforeEach(async () => {
    logLines.length = 0;
    node = `node-${randomUUID()}`;
    harness = await openHarness();
    admin = await connect(broker.url);
    admin.on('error', () => undefined);
  });

  afterEach(async () => {
    await harness.close();
    await admin.close().catch(() => undefined);
  });

  it('survives a restart of the broker with all it confirmed', async () => {
    const inbox = new Inbox<Delivery>();
    await harness.consumer().consume(node, 1, inbox.put);
    const first = exampleTask();
    const second = exampleTask();
    await harness.publisher.publish(node, first);
    await harness.publisher.publish(node, second);
    const [held] = await inbox.atLeast(1);

    await broker.halt();
    await eventually(() => expect(harness.publisher.connected).toBe(false));
    await expect(harness.publisher.publish(node, exampleTask())).rejects.toThrow('not connected');
    await broker.start();
    held!.ack();

    const again = (await inbox.atLeast(2))[1]!;
    expect(again.task).toEqual(first);
    expect(again.redelivered).toBe(true);
    again.ack();
    expect((await inbox.atLeast(3))[2]!.task).toEqual(second);

    await eventually(() => expect(harness.publisher.connected).toBe(true), 15_000);
    expect(await harness.publisher.publish(node, exampleTask())).toBe('confirmed');
  });

  it('tells every publish under way when the broker is lost, and delivers each that was confirmed', async () => {
    await harness.publisher.declareQueue(node);
    const confirmed: string[] = [];
    const refused: string[] = [];
    const publishSome = async (): Promise<void> => {
      const tasks = Array.from({ length: 100 }, () => exampleTask());
      const outcomes = await Promise.allSettled(tasks.map((task) => harness.publisher.publish(node, task)));
      outcomes.forEach(({ status }, index) => (status === 'fulfilled' ? confirmed : refused).push(tasks[index]!.taskId));
      // A breath: while the broker is away each is refused at once.
      await new Promise((resolve) => setTimeout(resolve, 5));
    };
    await publishSome();
    let restarted = false;
    const restart = broker.restart().finally(() => (restarted = true));
    // Until it is back: some of them are under way when the connection breaks.
    while (!restarted || !harness.publisher.connected) await publishSome();
    await restart;
    expect(confirmed.length).toBeGreaterThan(0);
    expect(refused.length).toBeGreaterThan(0);

    const delivered = new Set<string>();
    await harness.consumer().consume(node, 200, (delivery) => {
      delivered.add(delivery.task.taskId);
      delivery.ack();
    });
    await eventually(() => expect(confirmed.filter((id) => !delivered.has(id))).toEqual([]), 20_000);
  });

  it('begins to work when the broker comes after it', async () => {
    await broker.halt();
    const publisher = new RabbitMqTaskPublisher(broker.url, logger);
    const consumer = new RabbitMqTaskConsumer(broker.url, logger);
    const inbox = new Inbox<Delivery>();
    const consuming = consumer.consume(node, 1, inbox.put);
    await eventually(() => expect(logLines.join()).toContain('ECONNREFUSED'));
    await broker.start();

    await consuming;
    await eventually(() => expect(publisher.connected).toBe(true), 15_000);
    expect(await publisher.publish(node, exampleTask())).toBe('confirmed');
    await inbox.atLeast(1);
    await consumer.close();
    await publisher.close();
  });

  it('gives up waiting for a first start when the consumer is closed', async () => {
    await broker.halt();
    const consumer = new RabbitMqTaskConsumer(broker.url, logger);
    const consuming = consumer.consume(node, 1, () => undefined);
    const refused = expect(consuming).rejects.toThrow('cancelled');
    await consumer.close();
    await refused;
    await broker.start();
  });

  it('leaves no listener behind with each channel that was lost', async () => {
    const subscription = (await harness.consumer().consume(node, 1, () => undefined)) as QueueSubscription;
    const channel = await admin.createChannel();
    for (let losses = 0; losses < 5; losses++) {
      await channel.deleteQueue(node);
      await eventually(async () => expect((await harness.publisher.publish(node, exampleTask()))).toBe('confirmed'));
    }
    expect(getEventListeners(subscription['stop'].signal, 'abort').length).toBeLessThan(4);
  });

  it('declares the queue anew and goes on when it is deleted under the consumer', async () => {
    const inbox = new Inbox<Delivery>();
    await harness.consumer().consume(node, 1, inbox.put);
    await (await admin.createChannel()).deleteQueue(node);

    await eventually(async () => expect(await harness.publisher.publish(node, exampleTask())).toBe('confirmed'));
    await inbox.atLeast(1);
  });

  it('goes on when its queue is deleted and declared anew by another before it noticed', async () => {
    const inbox = new Inbox<Delivery>();
    await harness.consumer().consume(node, 1, inbox.put);
    const channel = await admin.createChannel();
    for (let round = 0; round < 20; round++) {
      await channel.deleteQueue(node);
      await harness.publisher.declareQueue(node);
    }

    await eventually(async () => expect(await harness.publisher.publish(node, exampleTask())).toBe('confirmed'));
    await inbox.atLeast(1);
    // A queue that lost its leader costs several rounds of ten seconds before it is there again.
  }, 150_000);

  it('goes on when its queue is deleted and declared anew while it is at work', async () => {
    const inHand: Delivery[] = [];
    const arrived = new Set<string>();
    const settle = (delivery: Delivery): void => {
      arrived.add(delivery.task.taskId);
      delivery.ack();
    };
    let put = (delivery: Delivery): void => void inHand.push(delivery);
    await harness.consumer().consume(node, 8, (delivery) => put(delivery));
    const publish = (tasks: readonly ConvergeTask[]): Promise<unknown> =>
      Promise.all(tasks.map(async (task) => expect(await harness.publisher.publish(node, task)).toBe('confirmed')));
    await publish(Array.from({ length: 30 }, exampleTask));
    await eventually(() => expect(inHand).toHaveLength(8));

    const channel = await admin.createChannel();
    await channel.deleteQueue(node);
    await harness.publisher.declareQueue(node);
    put = settle;
    inHand.forEach(settle);
    const late = Array.from({ length: 30 }, exampleTask);
    await publish(late);
    await eventually(() => expect(late.filter(({ taskId }) => !arrived.has(taskId))).toEqual([]), 40_000);
  });

  it.each([
    ['is not JSON', 'not a task at all'],
    ['is no task', '{"hello":"world"}'],
    ['is of a newer protocol', JSON.stringify({ ...exampleTask(), version: PROTOCOL_VERSION + 1 })],
  ])('moves a message that %s to the dead letters, says so and goes on', async (_what, content) => {
    const inbox = new Inbox<Delivery>();
    // Two: they come by different connections, and the good one may be the first and in hand.
    await harness.consumer().consume(node, 2, inbox.put);
    const channel = await admin.createChannel();
    await channel.purgeQueue(DEAD_LETTER_QUEUE);
    channel.publish(TASK_EXCHANGE, node, Buffer.from(content), { messageId: 'the-bad-one' });
    const task = exampleTask();
    await harness.publisher.publish(node, task);

    expect((await inbox.atLeast(1))[0]!.task).toEqual(task);
    await eventually(async () => {
      const letter = await channel.get(DEAD_LETTER_QUEUE, { noAck: true });
      expect(letter && letter.content.toString()).toBe(content);
    });
    expect(logLines.join()).toContain('the-bad-one');
  });

  it('forgets a dead letter that nobody can read, and tells of the next', async () => {
    const inbox = new Inbox<Delivery>();
    await harness.consumer().consume(node, 1, (delivery) => delivery.reject());
    const channel = await admin.createChannel();
    channel.publish(TASK_EXCHANGE, node, Buffer.from('not a task at all'));
    const task = exampleTask();
    await harness.publisher.publish(node, task);

    const letters = new Inbox<DeadLetter>();
    await harness.publisher.consumeDeadLetters(letters.put);
    await eventually(() => expect(letters.received.map((letter) => letter.task)).toContainEqual(task));
    for (const letter of letters.received) letter.ack();
    expect(inbox.received).toEqual([]);
    expect(logLines.join()).toContain('unreadable dead letter');
  });

  it('refuses a queue that exists with other arguments, and publishes on', async () => {
    const taken = `node-${randomUUID()}`;
    await (await admin.createChannel()).assertQueue(taken, { durable: false });
    await expect(harness.publisher.declareQueue(taken)).rejects.toThrow('PRECONDITION_FAILED');

    await harness.publisher.declareQueue(node);
    expect(await harness.publisher.publish(node, exampleTask())).toBe('confirmed');
  });

  it('writes neither user nor password to the log', async () => {
    const url = new URL(broker.url);
    url.username = 'a-user';
    url.password = 'hunter2';
    const publisher = new RabbitMqTaskPublisher(url.href, logger);
    await eventually(() => expect(logLines.join()).toContain('ACCESS-REFUSED'));
    await publisher.close();
    expect(logLines.join()).not.toContain('hunter2');
    expect(logLines.join()).toContain(`amqp://${url.host}`);
    expect(() => new RabbitMqTaskPublisher('hunter2@broker', logger)).toThrow(/^(?!.*hunter2).*amqp:\/\//);
  });
});
