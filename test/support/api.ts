/**
 * The API on a fresh, migrated database, with two organizations that must not see each other. Requests go through
 * the real HTTP edge: pipe, filter, guard, OpenAPI.
 */
import { jest } from '@jest/globals';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { pino } from 'pino';
import supertest from 'supertest';
import { DataSource } from 'typeorm';
import { ConductorModule } from '../../src/conductor/conductor.module.js';
import { dataSourceOptions } from '../../src/conductor/database/data-source.js';
import { migrate } from '../../src/conductor/database/migrate.js';
import { createApp } from '../../src/conductor/http/create-app.js';
import { hashSecret, hintOf, newSecret } from '../../src/conductor/identity/secrets.js';
import { loadConfig } from '../../src/config/load.js';
import { EmbeddedTaskBus } from '../../src/messaging/embedded/embedded-task-bus.js';
import { freshDatabase } from './servers.js';

// The page at /docs takes its scripts from here; the package requires an ES module, which jest on Node 20 cannot.
jest.unstable_mockModule('@fastify/static', () => ({ default: async () => undefined }));

type Method = 'get' | 'post' | 'put' | 'patch' | 'delete';

/** A client that sends one API key with every request. */
export type Client = Readonly<Record<Method, (path: string) => supertest.Test>>;

export interface Tenant {
  readonly organizationId: number;
  readonly userId: number;
  readonly key: string;
  readonly api: Client;
}

export interface Api {
  readonly database: DataSource;
  /** As anybody, without a key. */
  readonly anonymous: Client;
  /** In the region `default-1`. */
  readonly regionId: number;
  readonly ada: Tenant;
  readonly eve: Tenant;
  /** A client with another key. */
  as(key: string): Client;
  close(): Promise<void>;
}

export async function startApi(): Promise<Api> {
  const config = loadConfig(['conductor'], {}, { DATABASE_URL: await freshDatabase() });
  const database = await new DataSource(dataSourceOptions({ ...config, databasePool: 4 })).initialize();
  await migrate(database);
  const bus = new EmbeddedTaskBus(pino({ level: 'silent' }));
  const app = await createApp(ConductorModule.of(config, bus), false);
  await app.init();
  await app.getHttpAdapter().getInstance().ready();
  const as = (key?: string): Client => client(app, key);
  const close = async (): Promise<void> => {
    await app.close();
    await bus.close();
    await database.destroy();
  };
  const regionId = await insert(database, 'region', {
    name: 'default-1',
    description: 'The first',
    country: 'Local',
    green_status: 'GREEN',
  });
  return {
    database,
    anonymous: as(),
    regionId,
    ada: await tenant(database, 'ada', as),
    eve: await tenant(database, 'eve', as),
    as,
    close,
  };
}

function client(app: NestFastifyApplication, key: string | undefined): Client {
  const send = (method: Method) => (path: string) => {
    const request = supertest(app.getHttpServer())[method](path);
    return key === undefined ? request : request.set('api_key', key);
  };
  return { get: send('get'), post: send('post'), put: send('put'), patch: send('patch'), delete: send('delete') };
}

async function tenant(database: DataSource, name: string, as: (key: string) => Client): Promise<Tenant> {
  const organizationId = await insert(database, 'organization', { name });
  const userId = await insert(database, 'user_account', { email: `${name}@example.org`, username: name, name });
  await insert(database, 'membership', { organization_id: organizationId, user_id: userId, role: 'owner' });
  const key = newSecret('key');
  await insertApiKey(database, { organizationId, userId }, key);
  return { organizationId, userId, key, api: as(key) };
}

export async function insertApiKey(
  database: DataSource,
  owner: Pick<Tenant, 'organizationId' | 'userId'>,
  key: string,
  name = 'first',
  expiresAt: Date | null = null,
): Promise<number> {
  return await insert(database, 'api_key', {
    organization_id: owner.organizationId,
    user_id: owner.userId,
    name,
    key_hash: hashSecret(key),
    hint: hintOf(key),
    expires_at: expiresAt,
  });
}

/** @returns the id of the new row. */
export async function insert(database: DataSource, table: string, row: Record<string, unknown>): Promise<number> {
  const columns = Object.keys(row);
  const [made] = await database.query<[{ id: number }]>(
    `INSERT INTO ${table} (${columns.join(', ')}) VALUES (${columns.map((_, index) => `$${index + 1}`).join(', ')})
     RETURNING *`,
    Object.values(row),
  );
  return made.id;
}
