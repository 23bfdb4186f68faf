/**
 * SIGTERM: a conductor answers what it was asked and hands over at once, a worker finishes or gives back its tasks. Each
 * is a process of its own, against PostgreSQL and RabbitMQ.
 */
import 'reflect-metadata';
import { rm } from 'node:fs/promises';
import { connect as connectTcp } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { DataSource } from 'typeorm';
import { fsck } from '../src/conductor/admin/fsck.js';
import { dataSourceOptions } from '../src/conductor/database/data-source.js';
import { migrate } from '../src/conductor/database/migrate.js';
import { seed } from '../src/conductor/seed/seed.js';
import { WebhookReceiver } from './fixtures/webhook-receiver.js';
import { startComputeProcess, startConductorProcess, TEST_SEED, TEST_VM, type ConductorProcess, type RoleProcess, type Servers } from './support/baton-processes.js';
import { eventually } from './support/eventually.js';
import { scratchFolder } from './support/scratch.js';
import { freshDatabase, sharedRabbitMq } from './support/servers.js';

jest.setTimeout(120_000);

const PATIENCE_MS = 30_000;
/** What a supervisor waits before it kills. */
const PROMISED_MS = 20_000;
const NODE = `graceful-${process.pid}`;
/** A task that nobody gave back would wait for its deadline. */
const SETTINGS = { BATON_TASK_DEADLINE_SECONDS: '300', BATON_HEARTBEAT_SECONDS: '0.5' };

interface Instance {
  readonly id: number;
  readonly status: string;
}

describe('a process that is asked to end', () => {
  let servers: Servers;
  let database: DataSource;
  let folder: string;
  let staying: ConductorProcess;
  let worker: RoleProcess;

  beforeAll(async () => {
    servers = { databaseUrl: await freshDatabase(), amqpUrl: sharedRabbitMq() };
    database = await new DataSource(dataSourceOptions({ databaseUrl: servers.databaseUrl, databasePool: 4 })).initialize();
    await migrate(database);
    await seed(database, TEST_SEED);
    folder = await scratchFolder('graceful');
    staying = await startConductorProcess(servers, SETTINGS);
    worker = await startWorker('50');
    await eventually(async () => {
      const up = await database.query(`SELECT FROM compute_node_heartbeat WHERE inventory_digest <> ''`);
      expect(up).toHaveLength(1);
    }, PATIENCE_MS);
  });

  afterAll(async () => {
    await worker?.stop();
    await staying?.stop();
    await database?.destroy();
    await rm(folder, { recursive: true, force: true });
  });

  const startWorker = (bootMs: string): Promise<RoleProcess> =>
    startComputeProcess(servers, {
      name: NODE,
      conductorUrl: staying.url,
      stateFolder: join(folder, NODE),
      env: { BATON_SIMULATED_BOOT_MS: bootMs, BATON_CONCURRENCY: '4', BATON_SIMULATED_CAPACITY: '64:262144:2000' },
    });

  const ask = (url: string, method: string, path: string, body?: object): Promise<Response> =>
    fetch(`${url}/v1/core/virtual-machines${path}`, {
      method,
      headers: { api_key: TEST_SEED.apiKey, ...(body && { 'content-type': 'application/json' }) },
      body: body && JSON.stringify(body),
    });

  async function create(url: string, body: object): Promise<Instance[]> {
    const answer = await ask(url, 'POST', '', { ...TEST_VM, ...body });
    expect(answer.status).toBe(200);
    return ((await answer.json()) as { instances: Instance[] }).instances;
  }

  const statuses = async (): Promise<string[]> =>
    ((await (await ask(staying.url, 'GET', '')).json()) as { instances: Instance[] }).instances.map(({ status }) => status);

  const until = (expected: readonly string[]): Promise<void> =>
    eventually(async () => expect(await statuses()).toEqual(expected), PATIENCE_MS);

  async function deleteAll(vms: readonly Instance[]): Promise<void> {
    await Promise.all(vms.map(({ id }) => ask(staying.url, 'DELETE', `/${id}`)));
    await until([]);
    await eventually(async () => expect(await fsck(database)).toEqual([]), PATIENCE_MS);
  }

  const isListening = (url: string): Promise<boolean> =>
    new Promise((resolve) => {
      const socket = connectTcp(Number(new URL(url).port), '127.0.0.1', () => (socket.destroy(), resolve(true)));
      socket.once('error', () => resolve(false));
    });

  it('a conductor answers what is in hand, takes no new connection, and leaves no lease behind', async () => {
    const vms = await create(staying.url, { name: 'asked' });
    await until(['ACTIVE']);
    const leaving = await startConductorProcess(servers, SETTINGS);
    const holder = database.createQueryRunner();
    await holder.startTransaction();
    await holder.query('SELECT FROM virtual_machine WHERE id = $1 FOR UPDATE', [vms[0]!.id]);
    const answer = ask(leaving.url, 'GET', `/${vms[0]!.id}/stop`);
    const waits = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
    await eventually(async () => expect(await database.query(waits)).not.toEqual([]));

    const ended = leaving.process.endsAfter('SIGTERM');
    await eventually(async () => expect(await isListening(leaving.url)).toBe(false));
    expect(leaving.process.running).toBe(true);
    await holder.commitTransaction();
    await holder.release();
    expect((await answer).status).toBe(200);
    const { exitCode, milliseconds } = await ended;
    expect(exitCode).toBe(0);
    expect(milliseconds).toBeLessThan(PROMISED_MS);
    expect(await database.query(`SELECT id FROM task WHERE state = 'pending' AND available_at > now()`)).toEqual([]);
    await until(['SHUTOFF']);
    await deleteAll(vms);
  });

  it('a conductor that was sending a webhook knows that it was taken, and nobody sends it again', async () => {
    const receiver = await WebhookReceiver.start();
    receiver.delayMs = 1_000;
    const vms = await create(staying.url, { name: 'told', callback_url: receiver.url('/told') });
    await eventually(() => expect(receiver.requests.length).toBeGreaterThan(0));
    const { exitCode } = await staying.process.endsAfter('SIGTERM');
    expect(exitCode).toBe(0);
    expect(await database.query(`SELECT id FROM callback_delivery WHERE state = 'pending' AND available_at > now()`)).toEqual([]);
    receiver.delayMs = 0;
    await staying.restart();
    await until(['ACTIVE']);
    const told = (): string[] => receiver.requests.map(({ headers }) => headers['webhook-id']!);
    await deleteAll(vms);
    await eventually(async () => expect(await database.query(`SELECT id FROM callback_delivery WHERE state <> 'delivered'`)).toEqual([]), PATIENCE_MS);
    expect(told().length).toBe(new Set(told()).size);
    await receiver.stop();
  });

  it('a conductor that waits for a Git server lets go of it, and whoever is next asks it at once', async () => {
    const silent = await WebhookReceiver.start({ silent: true });
    const own = { ...servers, databaseUrl: await freshDatabase() };
    const other = await new DataSource(dataSourceOptions({ databaseUrl: own.databaseUrl, databasePool: 2 })).initialize();
    try {
      await migrate(other);
      await seed(other, TEST_SEED);
      const leaving = await startConductorProcess(own, { ...SETTINGS, BATON_EGRESS_ALLOW: '127.0.0.0/8' });
      const added = await fetch(`${leaving.url}/gitops/git-repo`, {
        method: 'POST',
        headers: { api_key: TEST_SEED.apiKey, 'content-type': 'application/json' },
        body: JSON.stringify({ name: 'silent', url: silent.url('/silent.git'), poll_seconds: 3600 }),
      });
      expect(added.status).toBe(200);
      await eventually(() => expect(silent.connections).toBeGreaterThan(0));
      const { exitCode, milliseconds } = await leaving.process.endsAfter('SIGTERM');
      expect(exitCode).toBe(0);
      expect(milliseconds).toBeLessThan(PROMISED_MS);
      expect(await other.query('SELECT lease, next_pass_at <= now() AS due, fetch_error FROM git_repository')).toEqual([
        { lease: null, due: true, fetch_error: null },
      ]);
    } finally {
      await other.destroy();
      await silent.stop();
    }
  });

  it('a worker takes nothing more, finishes what it has begun, and leaves the rest in its queue', async () => {
    await worker.stop();
    worker = await startWorker('4000');
    const vms = await create(staying.url, { name: 'begun', count: 12 });
    await eventually(async () => expect((await statuses()).filter((status) => status === 'BUILD').length).toBe(4), PATIENCE_MS);
    const { exitCode, milliseconds } = await worker.process.endsAfter('SIGTERM');
    expect(exitCode).toBe(0);
    expect(milliseconds).toBeLessThan(PROMISED_MS);
    expect((await statuses()).sort()).toEqual([...Array<string>(4).fill('ACTIVE'), ...Array<string>(8).fill('CREATING')]);
    worker = await startWorker('50');
    await until(Array<string>(12).fill('ACTIVE'));
    await deleteAll(vms);
  });

  it('a worker whose task takes too long gives it back, and carries it out when it is started anew', async () => {
    await worker.stop();
    worker = await startWorker('60000');
    const vms = await create(staying.url, { name: 'slow' });
    await until(['BUILD']);
    const { exitCode, milliseconds } = await worker.process.endsAfter('SIGTERM');
    expect(exitCode).toBe(0);
    expect(milliseconds).toBeLessThan(PROMISED_MS);
    expect(await statuses()).toEqual(['BUILD']);
    worker = await startWorker('50');
    await until(['ACTIVE']);
    await deleteAll(vms);
  });
});
