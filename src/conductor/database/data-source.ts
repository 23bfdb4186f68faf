/** The one way to open the database: for the conductor, migrations, tests and admin commands alike. */
import type { DataSourceOptions } from 'typeorm';
import { ENTITIES } from './entities.js';
import { MIGRATIONS } from './migrations/index.js';
import { NamingStrategy } from './naming-strategy.js';

export interface DatabaseSettings {
  readonly databaseUrl: string;
  readonly databasePool: number;
}

export function dataSourceOptions({ databaseUrl, databasePool }: DatabaseSettings): DataSourceOptions {
  return {
    type: 'postgres',
    url: databaseUrl,
    entities: ENTITIES,
    migrations: MIGRATIONS,
    namingStrategy: new NamingStrategy(),
    synchronize: false,
    migrationsTransactionMode: 'all',
    poolSize: databasePool,
    applicationName: 'baton-conductor',
    extra: { connectionTimeoutMillis: 5_000, keepAlive: true },
  };
}
