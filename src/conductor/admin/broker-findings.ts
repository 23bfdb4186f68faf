/**
 * The broker's part of `baton admin fsck`: every node has its queue, as Baton declares it, and one that is up takes tasks
 * from it. A broker that is away is a finding too: what is in the outbox waits for it.
 */
import type { DataSource } from 'typeorm';
import type { BrokerInspection, QueueState } from '../../messaging/rabbitmq/inspection.js';
import type { Finding } from './fsck.js';

export interface QueuedNode {
  readonly name: string;
  readonly up: boolean;
}

export type Inspect = (nodes: readonly string[], options: { readonly makeMissing: boolean }) => Promise<BrokerInspection>;

const NODES = `
  SELECT n.name, coalesce(h.beat_at > now() - make_interval(secs => n.lease_seconds), false) AS up
    FROM compute_node n LEFT JOIN compute_node_heartbeat h ON h.compute_node_id = n.id ORDER BY n.name`;

export interface BrokerReport {
  readonly findings: readonly Finding[];
  /** What there is, in one line. */
  readonly summary: string;
}

export async function checkBroker(dataSource: DataSource, inspect: Inspect, { repair = false } = {}): Promise<BrokerReport> {
  const nodes = await dataSource.query<QueuedNode[]>(NODES);
  try {
    const inspection = await inspect(nodes.map(({ name }) => name), { makeMissing: repair });
    const waiting = [...inspection.nodes.values()].reduce((sum, { messages }) => sum + messages, 0);
    return {
      findings: findingsOf(inspection, nodes),
      summary: `Broker: ${nodes.length} node queues with ${waiting} tasks waiting, ${inspection.deadLetters.messages} dead letters.`,
    };
  } catch (error) {
    const detail = `cannot be looked at: ${(error as Error).message}`;
    return {
      findings: [
        {
          invariant: 'broker-is-reachable',
          subject: 'the broker',
          detail,
          advice: 'Tasks wait in the outbox until it is back, and nothing is lost. Is RabbitMQ running, and AMQP_URL right?',
          repaired: false,
        },
      ],
      summary: 'Broker: not reachable.',
    };
  }
}

export function findingsOf({ nodes: queues, deadLetters }: BrokerInspection, nodes: readonly QueuedNode[]): Finding[] {
  return [
    ...nodes.flatMap(({ name, up }) => [...shapeFindings(`queue ${name}`, queues.get(name)!), ...consumerFindings(name, up, queues.get(name)!)]),
    ...shapeFindings('the dead-letter queue', deadLetters),
    ...deadLetterFindings(deadLetters),
  ];
}

function shapeFindings(subject: string, { state }: QueueState): Finding[] {
  if (state === 'missing' || state === 'made')
    return [
      {
        invariant: 'queue-exists',
        subject,
        detail: 'is missing on the broker',
        advice: '--repair declares it. A worker declares its own when it connects.',
        repaired: state === 'made',
      },
    ];
  if (state === 'other arguments')
    return [
      {
        invariant: 'queue-is-as-declared',
        subject,
        detail: 'has other arguments than Baton declares',
        advice: 'Its worker cannot consume it. Delete the queue on the broker: it is declared anew, and its tasks are published again.',
        repaired: false,
      },
    ];
  return [];
}

const consumerFindings = (name: string, up: boolean, { state, consumers }: QueueState): Finding[] =>
  up && consumers === 0 && state === 'there'
    ? [
        {
          invariant: 'node-consumes-its-queue',
          subject: `node ${name}`,
          detail: 'is up, but nobody takes tasks from its queue',
          advice: 'Does its worker reach the broker? See its log; restart the worker.',
          repaired: false,
        },
      ]
    : [];

const deadLetterFindings = ({ messages, consumers }: QueueState): Finding[] =>
  messages > 0
    ? [
        {
          invariant: 'dead-letters-are-taken-in',
          subject: 'the dead-letter queue',
          detail: `holds ${messages} dead letters, and has ${consumers} consumers`,
          advice: 'Conductors take them in and put their VMs in ERROR. Does one run, and does it reach the broker?',
          repaired: false,
        },
      ]
    : [];
