/** What goes wrong. Each fault leaves everything running again when it resolves, so that at the end only time is needed. */
import { connect } from 'amqplib';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ChaosCluster } from './cluster.js';
import type { Random } from './random.js';

type Fault = (cluster: ChaosCluster, random: Random) => Promise<void>;

/** Longer than the nodes' lease in the chaos cluster. */
const FROZEN_MS = 5_000;

export const FAULTS: Readonly<Record<string, Fault>> = {
  'kill -9 conductor': async ({ conductors }, random) => {
    const victim = random.pick(conductors);
    victim.process.kill();
    await sleep(random.below(1_500));
    await victim.restart();
  },
  'kill -9 worker': async ({ workers }, random) => {
    const victim = random.pick(workers);
    victim.process.kill();
    await sleep(random.below(1_500));
    await victim.restart();
  },
  'freeze worker past its lease': async ({ workers }, random) => {
    const victim = random.pick(workers).process;
    victim.signal('SIGSTOP');
    await sleep(FROZEN_MS);
    victim.signal('SIGCONT');
  },
  'restart RabbitMQ': ({ rabbitMq }) => rabbitMq.restart(),
  'delete all queues': async ({ rabbitMq, nodeNames }) => {
    const connection = await connect(rabbitMq.url);
    const channel = await connection.createChannel();
    for (const name of nodeNames) await channel.deleteQueue(name);
    await connection.close();
  },
  'restart PostgreSQL': ({ postgres }) => postgres.restart('crash'),
  'drop database connections': async (cluster) => {
    const database = await cluster.openDatabase();
    await database.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()');
    await database.destroy();
  },
};
