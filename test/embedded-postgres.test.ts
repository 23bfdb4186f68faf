import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { chmod, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { EmbeddedPostgres } from '../src/all-in-one/embedded-postgres.js';
import { scratchFolder } from './support/scratch.js';

describe('the embedded PostgreSQL', () => {
  let folder: string;
  const started: EmbeddedPostgres[] = [];

  const start = async (): Promise<EmbeddedPostgres> => {
    const postgres = await EmbeddedPostgres.start(folder);
    started.push(postgres);
    return postgres;
  };
  const query = async (url: string, sql: string): Promise<unknown[]> => {
    const client = new pg.Client(url);
    client.on('error', () => undefined);
    await client.connect();
    try {
      return (await client.query<Record<string, unknown>>(sql)).rows;
    } finally {
      await client.end();
    }
  };

  beforeEach(async () => {
    folder = await scratchFolder('postgres');
    // As root, PostgreSQL runs as another user, who has to enter.
    await chmod(folder, 0o755);
  });
  afterEach(async () => {
    await Promise.all(started.splice(0).map((postgres) => postgres.stop()));
    await rm(folder, { recursive: true, force: true });
  });

  it('continues with its data after a stop', async () => {
    const first = await start();
    await query(first.url, 'CREATE TABLE kept AS SELECT 42 AS answer');
    await first.stop();
    const second = await start();
    expect(await query(second.url, 'SELECT answer FROM kept')).toEqual([{ answer: 42 }]);
  }, 60_000);

  it('takes over from a PostgreSQL that a killed run left behind', async () => {
    const orphan = await start();
    await query(orphan.url, 'CREATE TABLE kept AS SELECT 42 AS answer');
    const heir = await start();
    expect(await query(heir.url, 'SELECT answer FROM kept')).toEqual([{ answer: 42 }]);
    await expect(query(orphan.url, 'SELECT 1')).rejects.toThrow(/ECONNREFUSED/);
  }, 60_000);

  it('lets nobody in without the password, which only its owner can read', async () => {
    const { url } = await start();
    const wrong = new URL(url);
    wrong.password = 'guess';
    await expect(query(wrong.href, 'SELECT 1')).rejects.toThrow(/password authentication failed/);
    const password = join(folder, 'postgres/password');
    expect(url).toContain(await readFile(password, 'utf8'));
    expect((await stat(password)).mode & 0o077).toBe(0);
  }, 60_000);

  it('syncs every commit to disk', async () => {
    const { url } = await start();
    expect(await query(url, 'SHOW fsync')).toEqual([{ fsync: 'on' }]);
    expect(await query(url, 'SHOW synchronous_commit')).toEqual([{ synchronous_commit: 'on' }]);
  }, 60_000);

  it('says which version made the data when it cannot read it', async () => {
    await (await start()).stop();
    await writeFile(join(folder, 'postgres/data/PG_VERSION'), '13\n');
    await expect(start()).rejects.toThrow(/made by PostgreSQL 13/);
  }, 60_000);
});
