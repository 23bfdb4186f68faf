/** Boots the Conductor role: brings the database to the newest schema, then serves requests and runs the background loops. */
import type { LoggerService } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { Config } from '../config/settings.js';
import type { TaskPublisher } from '../messaging/task-bus.js';
import { admitRequests } from './admission/admission.js';
import { ConductorModule } from './conductor.module.js';
import { dataSourceOptions } from './database/data-source.js';
import { migrate } from './database/migrate.js';
import { createApp } from './http/create-app.js';
import { EndOfService } from './http/end-of-service.js';

/** How long a request that is in hand may take while the conductor stops. */
const ANSWER_WITHIN_MS = 10_000;

export interface Conductor {
  /** Where it serves, with the port that was taken. */
  readonly url: string;
  /** Refuses new requests, finishes those under way, gives leases back. The task bus stays open: it is the caller's. */
  stop(): Promise<void>;
}

export interface ConductorOptions {
  readonly publisher: TaskPublisher;
  readonly logger: LoggerService | false;
}

export async function startConductor(config: Config, { publisher, logger }: ConductorOptions): Promise<Conductor> {
  await migrateFirst(config);
  const app = await createApp(ConductorModule.of(config, publisher), logger);
  admitRequests(app.getHttpAdapter().getInstance(), config.maxRequests);
  const service = new EndOfService(app.getHttpServer());
  await app.listen(config.port, config.host);
  const stop = async (): Promise<void> => {
    await service.come(ANSWER_WITHIN_MS);
    await app.close();
  };
  return { url: await app.getUrl(), stop };
}

async function migrateFirst(config: Config): Promise<void> {
  const dataSource = await new DataSource(dataSourceOptions({ ...config, databasePool: 2 })).initialize();
  try {
    await migrate(dataSource);
  } finally {
    await dataSource.destroy();
  }
}
