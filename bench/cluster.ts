/** A whole cloud for a bench, as separate processes: durable PostgreSQL, RabbitMQ, one conductor, one worker. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DataSource } from 'typeorm';
import { dataSourceOptions } from '../src/conductor/database/data-source.js';
import { migrate } from '../src/conductor/database/migrate.js';
import { seed } from '../src/conductor/seed/seed.js';
import { startComputeProcess, startConductorProcess, TEST_SEED } from '../test/support/baton-processes.js';
import { startPostgres } from '../test/support/postgres.js';
import { startRabbitMq } from '../test/support/rabbitmq.js';
import { scratchFolder } from '../test/support/scratch.js';

export interface Cluster {
  readonly url: string;
  readonly apiKey: string;
  readonly database: DataSource;
  stop(): Promise<void>;
}

/** CPUs, MiB and GiB of the one simulated node: enough for any count. */
const NODE_CAPACITY = '60000:1000000000:1000000000';

/** @param settings of the conductor, by their names in the environment. */
export async function startCluster(settings: Readonly<Record<string, string>> = {}): Promise<Cluster> {
  const stops: (() => Promise<unknown>)[] = [];
  const stop = async (): Promise<void> => {
    for (const step of stops.reverse()) await step();
  };
  try {
    const postgres = await startPostgres({ durable: true });
    stops.push(() => postgres.stop());
    const rabbitMq = await startRabbitMq();
    stops.push(() => rabbitMq.stop());
    const servers = { databaseUrl: await postgres.createDatabase(), amqpUrl: rabbitMq.url };
    const database = await new DataSource(
      dataSourceOptions({ databaseUrl: servers.databaseUrl, databasePool: 2 }),
    ).initialize();
    stops.push(() => database.destroy());
    await migrate(database);
    await seed(database, TEST_SEED);
    const conductor = await startConductorProcess(servers, settings);
    stops.push(() => conductor.stop());
    const folder = await scratchFolder('bench');
    stops.push(() => rm(folder, { recursive: true, force: true }));
    const compute = await startComputeProcess(servers, {
      name: 'bench-node',
      conductorUrl: conductor.url,
      stateFolder: join(folder, 'node'),
      env: {
        BATON_REGION: 'default-1',
        BATON_SIMULATED_BOOT_MS: '0',
        BATON_SIMULATED_CAPACITY: NODE_CAPACITY,
        BATON_CONCURRENCY: '64',
      },
    });
    stops.push(() => compute.stop());
    return { url: conductor.url, apiKey: TEST_SEED.apiKey, database, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
