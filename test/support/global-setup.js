/**
 * Starts what the suites share, once per run; addresses set by the developer win. Plain JavaScript, because jest loads
 * this file before its transforms: the TypeScript beside it is compiled into the cache first.
 */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export default async function setup() {
  const { startPostgres, startRabbitMq } = await compiled();
  const servers = (globalThis.batonTestServers = []);
  const start = async (variable, begin) => {
    if (process.env[variable]) return;
    const server = await begin();
    servers.push(server);
    process.env[variable] = server.url;
  };
  const started = await Promise.allSettled([
    start('BATON_TEST_DATABASE_URL', startPostgres),
    start('BATON_TEST_AMQP_URL', startRabbitMq),
  ]);
  const failure = started.find((result) => result.status === 'rejected');
  if (!failure) return;
  await Promise.all(servers.map((server) => server.stop()));
  throw failure.reason;
}

async function compiled() {
  const cache = join(import.meta.dirname, '../../node_modules/.cache');
  await mkdir(cache, { recursive: true });
  const folder = await mkdtemp(join(cache, 'test-support-'));
  try {
    const swc = join(import.meta.dirname, '../../node_modules/.bin/swc');
    const sources = ['postgres', 'rabbitmq', 'scratch', 'server-process'].map((name) => `test/support/${name}.ts`);
    await run(swc, [...sources, '-d', folder, '--config-file', '.swcrc'], { cwd: join(import.meta.dirname, '../..') });
    const { startPostgres } = await import(join(folder, 'test/support/postgres.js'));
    const { startRabbitMq } = await import(join(folder, 'test/support/rabbitmq.js'));
    return { startPostgres, startRabbitMq };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
