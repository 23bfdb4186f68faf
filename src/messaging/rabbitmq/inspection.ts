/**
 * What is on the broker of what Baton declares there, for operators: looked at once, over a connection of its own, and
 * left as it is, but for queues that are missing where their making is asked for.
 *
 * Looking is passive, and each look has its own channel, because the broker closes one for every refusal.
 */
import { connect, type Channel, type ChannelModel } from 'amqplib';
import { answeredInTime, lossOf } from './keep-alive.js';
import { DEAD_LETTER_QUEUE, declareExchanges, declareNodeQueue } from './topology.js';

const CONNECT_TIMEOUT_MS = 10_000;
const NOT_FOUND = 404;
const PRECONDITION_FAILED = 406;

export interface QueueState {
  /** `other arguments`: it was declared by somebody else, or by a version that wanted it otherwise. */
  readonly state: 'there' | 'missing' | 'made' | 'other arguments';
  readonly messages: number;
  readonly consumers: number;
}

export interface BrokerInspection {
  readonly nodes: ReadonlyMap<string, QueueState>;
  readonly deadLetters: QueueState;
}

/** @throws when the broker cannot be reached; the message names no credentials. */
export async function inspectBroker(url: string, nodes: readonly string[], { makeMissing = false } = {}): Promise<BrokerInspection> {
  const connection = await connect(url, { timeout: CONNECT_TIMEOUT_MS, clientProperties: { connection_name: 'baton fsck' } });
  // Its loss is heard by what waits on a channel.
  lossOf(connection, 'the connection').catch(() => undefined);
  try {
    if (makeMissing) await onChannel(connection, 'the exchanges', declareExchanges);
    const found = new Map<string, QueueState>();
    for (const node of nodes) found.set(node, await inspectQueue(connection, node, (channel) => declareNodeQueue(channel, node), makeMissing));
    return { nodes: found, deadLetters: await inspectQueue(connection, DEAD_LETTER_QUEUE, declareExchanges, makeMissing) };
  } finally {
    await connection.close().catch(() => undefined);
  }
}

/** @param declare as Baton wants it: refused by the broker where it is otherwise. */
async function inspectQueue(
  connection: ChannelModel,
  queue: string,
  declare: (channel: Channel) => Promise<void>,
  makeMissing: boolean,
): Promise<QueueState> {
  const seen = await onChannel(connection, queue, (channel) => channel.checkQueue(queue)).catch(unless(NOT_FOUND));
  if (seen === undefined) {
    if (!makeMissing) return { state: 'missing', messages: 0, consumers: 0 };
    await onChannel(connection, queue, declare);
    return { state: 'made', messages: 0, consumers: 0 };
  }
  const fits = await onChannel(connection, queue, (channel) => declare(channel).then(() => true)).catch(unless(PRECONDITION_FAILED));
  return { state: fits ? 'there' : 'other arguments', messages: seen.messageCount, consumers: seen.consumerCount };
}

async function onChannel<T>(connection: ChannelModel, about: string, work: (channel: Channel) => Promise<T>): Promise<T> {
  const channel = await connection.createChannel();
  const lost = lossOf(channel, 'the channel');
  try {
    return await answeredInTime(Promise.race([work(channel), lost]), `about ${about}`);
  } finally {
    await channel.close().catch(() => undefined);
  }
}

const unless = (code: number) => (error: Error & { code?: number }): undefined => {
  if (error.code !== code) throw error;
  return undefined;
};
