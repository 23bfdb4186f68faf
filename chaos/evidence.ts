/** What a run that did not settle leaves for whoever looks into it: unfinished work, nodes, queues, and what the processes said last. */
import { connect, type ChannelModel } from 'amqplib';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DataSource } from 'typeorm';
import type { ChaosCluster } from './cluster.js';

/** A queue without a leader answers nothing at all. */
const BROKER_PATIENCE_MS = 5_000;

const UNFINISHED_TASKS = `
  SELECT id, compute_node_id, virtual_machine_id, incarnation_id, generation, state, attempts, available_at, deadline_at, last_error
    FROM task WHERE state IN ('pending', 'published') ORDER BY created_at`;
const UNSETTLED_VMS = `
  SELECT id, name, status FROM virtual_machine WHERE deleted_at IS NULL AND status NOT IN ('ACTIVE', 'SHUTOFF') ORDER BY id`;
const NODES = `
  SELECT n.id, n.name, n.session, h.beat_at, now() - h.beat_at AS silent_for
    FROM compute_node n LEFT JOIN compute_node_heartbeat h ON h.compute_node_id = n.id ORDER BY n.id`;

export async function printEvidence(database: DataSource, cluster: ChaosCluster): Promise<void> {
  for (const [title, query] of Object.entries({ 'unfinished tasks': UNFINISHED_TASKS, 'unsettled VMs': UNSETTLED_VMS, nodes: NODES }))
    console.error(title, await database.query(query).catch((error: unknown) => error));
  for (const name of cluster.nodeNames) console.error(`queue ${name}:`, await queueState(cluster.rabbitMq.url, name));
  cluster.workers.forEach(({ process }, index) => console.error(`${cluster.nodeNames[index]} said last:\n${process.lastOutput}`));
  cluster.conductors.forEach(({ process, url }) => console.error(`conductor ${url} said last:\n${process.lastOutput}`));
  console.error(`RabbitMQ said last:\n${cluster.rabbitMq.lastOutput}`);
}

async function queueState(url: string, name: string): Promise<unknown> {
  let connection: ChannelModel | undefined;
  try {
    connection = await connect(url);
    const channel = await connection.createChannel();
    channel.on('error', () => undefined);
    const silence = sleep(BROKER_PATIENCE_MS, `no answer within ${BROKER_PATIENCE_MS / 1_000} s`, { ref: false });
    return await Promise.race([channel.checkQueue(name), silence]);
  } catch (error) {
    return error;
  } finally {
    await connection?.close().catch(() => undefined);
  }
}
