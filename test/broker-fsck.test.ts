/** What `admin fsck` finds on a real broker, and how it survives one that is away. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { connect, type Channel, type ChannelModel } from 'amqplib';
import { randomUUID } from 'node:crypto';
import { checkBroker, findingsOf } from '../src/conductor/admin/broker-findings.js';
import { inspectBroker } from '../src/messaging/rabbitmq/inspection.js';
import { declareExchanges, declareNodeQueue } from '../src/messaging/rabbitmq/topology.js';
import { sharedRabbitMq } from './support/servers.js';

const url = sharedRabbitMq();
const node = `fsck-${randomUUID()}`;
const other = `fsck-${randomUUID()}`;

let connection: ChannelModel;
let channel: Channel;

beforeAll(async () => {
  connection = await connect(url);
  channel = await connection.createChannel();
  await declareExchanges(channel);
});

afterAll(async () => {
  for (const queue of [node, other]) await channel.deleteQueue(queue);
  await connection.close();
});

const found = async (up: boolean, options?: { makeMissing: boolean }) =>
  findingsOf(await inspectBroker(url, [node], options), [{ name: node, up }]).filter(({ subject }) => subject.includes(node));

describe('fsck', () => {
  it('finds a queue that is missing, and makes it where that is asked for', async () => {
    expect(await found(true)).toMatchObject([{ invariant: 'queue-exists', repaired: false }]);
    expect(await found(true, { makeMissing: true })).toMatchObject([{ invariant: 'queue-exists', repaired: true }]);
    expect(await found(false)).toEqual([]);
  });

  it('finds that nobody takes tasks for a node that is up', async () => {
    expect(await found(true)).toMatchObject([{ invariant: 'node-consumes-its-queue', subject: `node ${node}` }]);
    await declareNodeQueue(channel, node);
    const { consumerTag } = await channel.consume(node, () => undefined);
    expect(await found(true)).toEqual([]);
    await channel.cancel(consumerTag);
  });

  it('finds a queue with other arguments, and leaves it as it is', async () => {
    await channel.assertQueue(other, { durable: true });
    const inspection = await inspectBroker(url, [other], { makeMissing: true });
    expect(findingsOf(inspection, [{ name: other, up: false }])).toContainEqual(
      expect.objectContaining({ invariant: 'queue-is-as-declared', subject: `queue ${other}`, repaired: false }),
    );
  });

  it('tells of a broker that is away without naming its password', async () => {
    const away = 'amqp://somebody:secret@127.0.0.1:1';
    const database = { query: async () => [] };
    const { findings, summary } = await checkBroker(database as never, (nodes, options) => inspectBroker(away, nodes, options));
    expect(findings).toMatchObject([{ invariant: 'broker-is-reachable' }]);
    expect(summary).toBe('Broker: not reachable.');
    expect(JSON.stringify(findings)).not.toContain('secret');
  });
});
