/** The servers the suites stand on: proof that they are there before anything else is judged by them. */
import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { Client } from 'pg';
import { connect } from 'amqplib';
import { startPostgres, type PostgresServer } from './support/postgres.js';
import { freshDatabase, sharedRabbitMq } from './support/servers.js';

jest.setTimeout(90_000);

async function ask(url: string, statement: string): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(statement)).rows;
  } finally {
    await client.end();
  }
}

describe('the shared test servers', () => {
  it('give each suite an empty database of its own', async () => {
    const [mine, yours] = [await freshDatabase(), await freshDatabase()];
    await ask(mine, 'CREATE TABLE thing (id integer)');
    await expect(ask(yours, 'SELECT * FROM thing')).rejects.toThrow('does not exist');
  });

  it('offer a broker', async () => {
    const connection = await connect(sharedRabbitMq());
    await connection.close();
  });
});

describe('a PostgreSQL of one suite', () => {
  let server: PostgresServer | undefined;
  afterEach(async () => await server?.stop());

  it('keeps what was committed when it crashes, if it is durable', async () => {
    server = await startPostgres({ durable: true });
    expect(await ask(server.url, 'SHOW synchronous_commit')).toEqual([{ synchronous_commit: 'on' }]);
    const url = await server.createDatabase();
    await ask(url, 'CREATE TABLE thing AS SELECT 42 AS answer');
    await server.restart('crash');
    expect(await ask(url, 'SELECT answer FROM thing')).toEqual([{ answer: 42 }]);
  });
});
