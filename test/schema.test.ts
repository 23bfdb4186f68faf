/** Migrations on a real PostgreSQL: from empty to the newest schema, and back. */
import 'reflect-metadata';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { DataSource } from 'typeorm';
import { dataSourceOptions } from '../src/conductor/database/data-source.js';
import { migrate, schemaDifferences } from '../src/conductor/database/migrate.js';
import { MIGRATIONS } from '../src/conductor/database/migrations/index.js';
import { freshDatabase } from './support/servers.js';

let database: DataSource;
let url: string;

const open = async (): Promise<DataSource> =>
  await new DataSource(dataSourceOptions({ databaseUrl: url, databasePool: 4 })).initialize();

beforeEach(async () => {
  url = await freshDatabase();
  database = await open();
});

afterEach(async () => {
  await database.destroy();
});

const tables = async (): Promise<number> => {
  const [{ count }] = await database.query<[{ count: number }]>(
    `SELECT count(*)::int AS count FROM information_schema.tables WHERE table_schema = 'public' AND table_name <> 'migrations'`,
  );
  return count;
};

describe('the schema', () => {
  it('that the migrations make of an empty database is the one that the entities describe', async () => {
    expect(await migrate(database)).toHaveLength(MIGRATIONS.length);
    expect(await schemaDifferences(database)).toEqual([]);
  });

  it('is left alone when there is nothing to do', async () => {
    await migrate(database);
    expect(await migrate(database)).toEqual([]);
  });

  it('is made once when several conductors start together', async () => {
    const others = await Promise.all([open(), open(), open()]);
    const ran = await Promise.all([database, ...others].map((dataSource) => migrate(dataSource)));
    expect(ran.flat()).toHaveLength(MIGRATIONS.length);
    await Promise.all(others.map((other) => other.destroy()));
  });

  it('can be taken back to nothing, and made again', async () => {
    await migrate(database);
    for (let undone = 0; undone < MIGRATIONS.length; undone++) await database.undoLastMigration({ transaction: 'all' });
    expect(await tables()).toBe(0);
    await migrate(database);
    expect(await schemaDifferences(database)).toEqual([]);
  });
});
