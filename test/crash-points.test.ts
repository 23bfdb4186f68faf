/**
 * P1: no acknowledged create is lost and none happens twice. At every named crash point a process dies as if by
 * `kill -9` while clients create, stop and delete VMs and retry what got no answer.
 */
import 'reflect-metadata';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DataSource } from 'typeorm';
import { fsck } from '../src/conductor/admin/fsck.js';
import { dataSourceOptions } from '../src/conductor/database/data-source.js';
import { migrate } from '../src/conductor/database/migrate.js';
import { seed } from '../src/conductor/seed/seed.js';
import { CRASH_POINTS, type CrashPoint } from '../src/crash-points.js';
import { GitServer } from './fixtures/git-server.js';
import { WebhookReceiver } from './fixtures/webhook-receiver.js';
import {
  startComputeProcess,
  startConductorProcess,
  TEST_SEED,
  TEST_VM,
  type ConductorProcess,
  type RoleProcess,
  type Servers,
} from './support/baton-processes.js';
import { eventually } from './support/eventually.js';
import { LoadBalancer } from './support/load-balancer.js';
import { startRabbitMq, type RabbitMqServer } from './support/rabbitmq.js';
import { freePorts, scratchFolder } from './support/scratch.js';
import { freshDatabase } from './support/servers.js';

jest.setTimeout(240_000);

const CREATES = 12;
/** Longer than a webhook's lease, which is what those that died with a conductor wait for. */
const PATIENCE_MS = 60_000;
// Short, so that what the dead left is soon taken up by others.
const ENV = { BATON_HEARTBEAT_SECONDS: '0.5', BATON_NODE_LEASE_SECONDS: '3', BATON_TASK_DEADLINE_SECONDS: '5' };

const isOfWorker = (point: CrashPoint): boolean => /^(converge|task):/.test(point);

const isOfGit = (point: CrashPoint): boolean => point.startsWith('gitops:');

const portOf = ({ url }: ConductorProcess): number => Number(new URL(url).port);

interface Answer {
  readonly status: number;
  readonly body: { readonly instances?: readonly { readonly id: number; readonly name: string; readonly status: string }[] };
}

describe('a process that dies', () => {
  let rabbitMq: RabbitMqServer;
  let servers: Servers;
  let database: DataSource;
  let steady: ConductorProcess;
  let balancer: LoadBalancer;
  let balancerUrl: string;
  let worker: RoleProcess;
  let folder: string;
  let receiver: WebhookReceiver;

  beforeAll(async () => {
    rabbitMq = await startRabbitMq();
    servers = { databaseUrl: await freshDatabase(), amqpUrl: rabbitMq.url };
    database = await new DataSource(dataSourceOptions({ databaseUrl: servers.databaseUrl, databasePool: 2 })).initialize();
    await migrate(database);
    await seed(database, TEST_SEED);
    folder = await scratchFolder('crash-points');
    receiver = await WebhookReceiver.start();
    steady = await startConductorProcess(servers, ENV);
    const [port] = (await freePorts(1)) as [number];
    balancer = await LoadBalancer.listen(port, [portOf(steady)]);
    balancerUrl = `http://127.0.0.1:${port}`;
    worker = await startWorker();
  });

  afterAll(async () => {
    await worker?.stop();
    await balancer?.close();
    await steady?.stop();
    await receiver?.stop();
    await rabbitMq?.stop();
    await database?.destroy();
    await rm(folder, { recursive: true, force: true });
  });

  const startWorker = (crashAt?: CrashPoint): Promise<RoleProcess> =>
    startComputeProcess(servers, {
      name: 'node-a',
      conductorUrl: balancerUrl,
      stateFolder: join(folder, 'node-a'),
      env: { BATON_SIMULATED_BOOT_MS: '50', ...(crashAt && { BATON_CRASH_AT: crashAt }) },
    });

  /** Asked at one conductor after the other until it is answered, as a client with retries does. */
  async function persistently(urls: readonly string[], method: string, path: string, body?: object): Promise<Answer> {
    const headers = { api_key: TEST_SEED.apiKey, 'idempotency-key': randomUUID(), ...(body && { 'content-type': 'application/json' }) };
    for (let attempt = 0; ; attempt++) {
      try {
        const url = `${urls[attempt % urls.length]}/v1/core/virtual-machines${path}`;
        const answer = await fetch(url, { method, headers, body: body && JSON.stringify(body), signal: AbortSignal.timeout(8_000) });
        if (answer.status < 500) return { status: answer.status, body: (await answer.json()) as Answer['body'] };
      } catch (error) {
        if (attempt > 50) throw error;
      }
      await sleep(50);
    }
  }

  const list = async (): Promise<NonNullable<Answer['body']['instances']>> =>
    (await persistently([steady.url], 'GET', '')).body.instances!;

  const webhooksOf = (id: number): string[] =>
    receiver.requests
      .map(({ body }) => JSON.parse(body) as { resource: { id: number }; operation: { status: string } })
      .filter(({ resource }) => resource.id === id)
      .map(({ operation }) => operation.status);

  /** Creates, stops some and deletes all, at `urls` in turn. */
  async function live(point: CrashPoint, urls: readonly string[]): Promise<void> {
    const names = Array.from({ length: CREATES }, (_, index) => `${point.replace(/\W/g, '-').toLowerCase()}-${index}`);
    const created = await Promise.all(
      names.map((name, index) =>
        persistently(index % 2 ? urls : urls.toReversed(), 'POST', '', { ...TEST_VM, name, callback_url: receiver.url('/crash') }),
      ),
    );
    expect(created.map(({ status }) => status)).toEqual(Array<number>(CREATES).fill(200));
    await eventually(async () => {
      const vms = await list();
      expect(vms.map(({ name }) => name).sort()).toEqual([...names].sort());
      expect(new Set(vms.map(({ status }) => status))).toEqual(new Set(['ACTIVE']));
    }, PATIENCE_MS);

    const vms = await list();
    const stopped = vms.slice(0, 4);
    await Promise.all(stopped.map(({ id }) => persistently(urls, 'GET', `/${id}/stop`)));
    await eventually(async () => {
      const off = (await list()).filter(({ status }) => status === 'SHUTOFF').map(({ id }) => id);
      expect(off.sort()).toEqual(stopped.map(({ id }) => id).sort());
    }, PATIENCE_MS);

    await Promise.all(vms.map(({ id }) => persistently(urls, 'DELETE', `/${id}`)));
    await eventually(async () => expect(await list()).toEqual([]), PATIENCE_MS);
    await eventually(() => {
      for (const { id } of vms) expect(webhooksOf(id)).toEqual(expect.arrayContaining(['ACTIVE', 'DELETED']));
    }, PATIENCE_MS);
    const [{ requests }] = await database.query<[{ requests: number }]>(
      `SELECT count(*)::int AS requests FROM event WHERE reason = 'InstanceCreationRequest' AND object = ANY($1)`,
      [names],
    );
    expect(requests).toBe(CREATES);
    await eventually(async () => expect(await fsck(database)).toEqual([]), PATIENCE_MS);
  }

  it.each(CRASH_POINTS.filter((point) => !isOfWorker(point) && !isOfGit(point)))('at %s loses and doubles nothing: a conductor', async (point) => {
    const victim = await startConductorProcess(servers, { ...ENV, BATON_CRASH_AT: point });
    try {
      balancer.route([portOf(victim), portOf(steady)]);
      await live(point, [victim.url, steady.url]);
      expect(victim.process.running).toBe(false);
    } finally {
      balancer.route([portOf(steady)]);
      await victim.stop('SIGKILL');
    }
  });

  it.each(CRASH_POINTS.filter(isOfGit))('at %s leaves a pass over a Git repository to another conductor, which makes nothing twice', async (point) => {
    const server = await GitServer.start();
    const victim = await startConductorProcess(servers, { ...ENV, BATON_CRASH_AT: point });
    try {
      const name = point.replace(':', '-');
      const clone = await server.repository(name);
      const document = (kind: string, called: string, spec: object): string => JSON.stringify({ apiVersion: 'baton/v1', kind, metadata: { name: `${name}-${called}`, environment: 'demo' }, spec });
      const walls = ['a', 'b', 'c'].map((called) => document('Firewall', called, { rules: [{ direction: 'ingress', protocol: 'tcp', remote_ip_prefix: '0.0.0.0/0', port_range_min: 80 }] }));
      const machines = document('VirtualMachine', 'vm', { flavor: TEST_VM.flavor_name, image: TEST_VM.image_name, keypairs: [TEST_VM.key_name], firewalls: [`${name}-a`], count: 3 });
      await clone.push({ 'all.yaml': [...walls, machines].join('\n---\n') });
      const ask = async (url: string, method: string, path: string, body?: object): Promise<{ git_repo: { id: number; status: string; resources: number } }> => {
        const headers = { api_key: TEST_SEED.apiKey, ...(body && { 'content-type': 'application/json' }) };
        return (await (await fetch(`${url}/gitops/git-repo${path}`, { method, headers, body: body && JSON.stringify(body) })).json()) as never;
      };
      // Asked at the victim, which begins at once, before the other looks.
      const { id } = (await ask(victim.url, 'POST', '', { url: server.httpUrl(name), poll_seconds: 3600 })).git_repo;
      await eventually(() => expect(victim.process.running).toBe(false), PATIENCE_MS);
      await eventually(async () => expect((await ask(steady.url, 'GET', `/${id}`)).git_repo).toMatchObject({ status: 'SYNCED', resources: 6 }), PATIENCE_MS);
      const made = (await list()).filter((vm) => vm.name.startsWith(name));
      expect(made.map((vm) => `${vm.name} ${vm.status}`).sort()).toEqual([1, 2, 3].map((index) => `${name}-vm-${index} ACTIVE`));
      const [{ firewalls, rules }] = await database.query<[{ firewalls: number; rules: number }]>(
        `SELECT count(DISTINCT f.id)::int AS firewalls, count(s.id) FILTER (WHERE s.port_range_min = 80)::int AS rules
           FROM firewall f LEFT JOIN security_rule s ON s.firewall_id = f.id WHERE starts_with(f.name, $1)`,
        [name],
      );
      expect({ firewalls, rules }).toEqual({ firewalls: 3, rules: 3 });
      await eventually(async () => expect(await fsck(database)).toEqual([]), PATIENCE_MS);
      await Promise.all(made.map((vm) => persistently([steady.url], 'DELETE', `/${vm.id}`)));
      await eventually(async () => expect(await list()).toEqual([]), PATIENCE_MS);
    } finally {
      await victim.stop('SIGKILL');
      await server.stop();
    }
  });

  it.each(CRASH_POINTS.filter(isOfWorker))('at %s loses and doubles nothing: a worker', async (point) => {
    await worker.stop();
    const victim = await startWorker(point);
    const replaced = (async () => {
      await eventually(() => expect(victim.process.running).toBe(false), PATIENCE_MS);
      worker = await startWorker();
    })();
    await Promise.all([live(point, [steady.url]), replaced]);
  });
});
