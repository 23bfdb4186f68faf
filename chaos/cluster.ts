/** What chaos is let loose on: every part a process of its own, so that each can be killed alone. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DataSource } from 'typeorm';
import { dataSourceOptions } from '../src/conductor/database/data-source.js';
import { migrate } from '../src/conductor/database/migrate.js';
import { setAutoRecover } from '../src/conductor/virtual-machines/auto-recover.js';
import { seed } from '../src/conductor/seed/seed.js';
import {
  startComputeProcess,
  startConductorProcess,
  TEST_SEED,
  type ConductorProcess,
  type RoleProcess,
} from '../test/support/baton-processes.js';
import { startPostgres, type PostgresServer } from '../test/support/postgres.js';
import { startRabbitMq, type RabbitMqServer } from '../test/support/rabbitmq.js';
import { freePorts, scratchFolder } from '../test/support/scratch.js';
import { RECOVERED_FLAVOR } from './load.js';
import { LoadBalancer } from '../test/support/load-balancer.js';

const CONDUCTORS = 3;
const WORKERS = 4;

export interface ChaosCluster {
  readonly postgres: PostgresServer;
  readonly rabbitMq: RabbitMqServer;
  readonly conductors: readonly ConductorProcess[];
  readonly workers: readonly RoleProcess[];
  readonly nodeNames: readonly string[];
  readonly databaseUrl: string;
  openDatabase(): Promise<DataSource>;
  stop(): Promise<void>;
}

export async function startChaosCluster(): Promise<ChaosCluster> {
  const stops: (() => Promise<unknown>)[] = [];
  const stop = async (): Promise<void> => {
    for (const step of stops.reverse()) await step().catch(() => undefined);
  };
  try {
    const postgres = await startPostgres({ durable: true });
    stops.push(() => postgres.stop());
    const rabbitMq = await startRabbitMq();
    stops.push(() => rabbitMq.stop());
    const servers = { databaseUrl: await postgres.createDatabase(), amqpUrl: rabbitMq.url };
    const openDatabase = (): Promise<DataSource> =>
      new DataSource(dataSourceOptions({ databaseUrl: servers.databaseUrl, databasePool: 2 })).initialize();
    const database = await openDatabase();
    await migrate(database);
    await seed(database, TEST_SEED);
    await setAutoRecover(database, 'flavor', RECOVERED_FLAVOR, true);
    await database.destroy();
    // Short times, so that each kind of recovery happens many times in a run.
    const env = { BATON_HEARTBEAT_SECONDS: '0.5', BATON_NODE_LEASE_SECONDS: '3', BATON_TASK_DEADLINE_SECONDS: '10', BATON_LOG_LEVEL: 'error' };
    const conductors = await Promise.all(Array.from({ length: CONDUCTORS }, () => startConductorProcess(servers, env)));
    stops.push(() => Promise.all(conductors.map((conductor) => conductor.stop())));
    const [port] = (await freePorts(1)) as [number];
    const balancer = await LoadBalancer.listen(port, conductors.map(({ url }) => Number(new URL(url).port)));
    stops.push(() => balancer.close());
    const folder = await scratchFolder('chaos');
    stops.push(() => rm(folder, { recursive: true, force: true }));
    const nodeNames = Array.from({ length: WORKERS }, (_, index) => `chaos-${index + 1}`);
    const workers = await Promise.all(
      nodeNames.map((name) =>
        startComputeProcess(servers, {
          name,
          conductorUrl: `http://127.0.0.1:${port}`,
          stateFolder: join(folder, name),
          env: { BATON_SIMULATED_BOOT_MS: '100', BATON_SIMULATED_CAPACITY: '64:262144:2000', BATON_LOG_LEVEL: 'warn' },
        }),
      ),
    );
    stops.push(() => Promise.all(workers.map((worker) => worker.stop('SIGKILL'))));
    return { postgres, rabbitMq, conductors, workers, nodeNames, databaseUrl: servers.databaseUrl, openDatabase, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
