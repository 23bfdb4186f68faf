/**
 * The cloud as an operator runs it: PostgreSQL, RabbitMQ, two conductors and two workers, each a process of its own.
 */
import 'reflect-metadata';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { connect } from 'amqplib';
import { join } from 'node:path';
import { rm } from 'node:fs/promises';
import { DataSource } from 'typeorm';
import { fsck } from '../src/conductor/admin/fsck.js';
import { dataSourceOptions } from '../src/conductor/database/data-source.js';
import { migrate } from '../src/conductor/database/migrate.js';
import { seed } from '../src/conductor/seed/seed.js';
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
import { startRabbitMq, type RabbitMqServer } from './support/rabbitmq.js';
import { scratchFolder } from './support/scratch.js';
import { freshDatabase } from './support/servers.js';

jest.setTimeout(240_000);

interface Instance {
  readonly id: number;
  readonly name: string;
  readonly status: string;
}

describe('a cloud of separate processes', () => {
  let database: DataSource;
  let rabbitMq: RabbitMqServer;
  let conductors: ConductorProcess[];
  let workers: RoleProcess[];
  let folder: string;

  beforeAll(async () => {
    rabbitMq = await startRabbitMq();
    const servers: Servers = { databaseUrl: await freshDatabase(), amqpUrl: rabbitMq.url };
    database = await new DataSource(dataSourceOptions({ databaseUrl: servers.databaseUrl, databasePool: 2 })).initialize();
    await migrate(database);
    await seed(database, TEST_SEED);
    folder = await scratchFolder('nodes');
    // Both at once: whoever comes first migrates, the other waits.
    const env = { BATON_TASK_DEADLINE_SECONDS: '5' };
    conductors = await Promise.all([startConductorProcess(servers, env), startConductorProcess(servers, env)]);
    workers = await Promise.all(
      ['node-a', 'node-b'].map((name) =>
        startComputeProcess(servers, {
          name,
          // The second conductor is killed further down; a real fleet reaches whichever lives by a load balancer.
          conductorUrl: conductors[0]!.url,
          stateFolder: join(folder, name),
          env: { BATON_SIMULATED_BOOT_MS: '300', BATON_SIMULATED_CAPACITY: '300:262144:4000' },
        }),
      ),
    );
    await untilUp(['node-a', 'node-b']);
  });

  afterAll(async () => {
    await Promise.all((workers ?? []).map((worker) => worker.stop()));
    await Promise.all((conductors ?? []).map((conductor) => conductor.stop()));
    await rabbitMq?.stop();
    await database?.destroy();
    await rm(folder, { recursive: true, force: true });
  });

  async function call<Answer>(conductor: number, method: string, path: string, body?: object): Promise<Answer> {
    const answer = await fetch(`${conductors[conductor]!.url}/v1/core/virtual-machines${path}`, {
      method,
      headers: { api_key: TEST_SEED.apiKey, 'content-type': 'application/json' },
      body: body && JSON.stringify(body),
    });
    const json = (await answer.json()) as Answer & { message: string };
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${json.message}`);
    return json;
  }

  const list = async (): Promise<Instance[]> => (await call<{ instances: Instance[] }>(0, 'GET', '')).instances;

  const create = async (conductor: number, body: object): Promise<Instance[]> =>
    (await call<{ instances: Instance[] }>(conductor, 'POST', '', { ...TEST_VM, ...body })).instances;

  const untilAllActive = (count: number, patienceMs = 60_000): Promise<void> =>
    eventually(async () => {
      const vms = await list();
      expect(vms.map((vm) => vm.status)).toEqual(Array<string>(count).fill('ACTIVE'));
    }, patienceMs);

  const untilUp = (names: string[]): Promise<void> =>
    eventually(async () => {
      const nodes = await database.query<{ name: string }[]>(
        `SELECT n.name FROM compute_node n JOIN compute_node_heartbeat h ON h.compute_node_id = n.id
          WHERE h.beat_at > now() - interval '15 seconds' AND h.inventory_digest <> '' ORDER BY n.name`,
      );
      expect(nodes.map((node) => node.name)).toEqual(names);
    }, 30_000);

  const untilGone = (): Promise<void> => eventually(async () => expect(await list()).toEqual([]), 60_000);

  it('brings 50 VMs created through both conductors to ACTIVE on both nodes, and deletes them', async () => {
    await Promise.all(Array.from({ length: 50 }, (_, index) => create(index % 2, { name: `vm-${index}`, labels: ['fifty'] })));
    await untilAllActive(50);

    const spread = await database.query<{ name: string; count: number }[]>(
      `SELECT n.name, count(*)::int AS count FROM incarnation i JOIN compute_node n ON n.id = i.compute_node_id
        WHERE i.claimed GROUP BY n.name ORDER BY n.name`,
    );
    expect(spread.map((node) => node.name)).toEqual(['node-a', 'node-b']);
    expect(Math.min(...spread.map((node) => node.count))).toBeGreaterThanOrEqual(15);

    await call(1, 'DELETE', '/demo/labels/fifty');
    await untilGone();
    expect(await fsck(database)).toEqual([]);
  });

  it('brings a VM to ACTIVE though its worker was killed while building it', async () => {
    const vms = (await Promise.all([create(0, { count: 20 }), create(1, { count: 20 })])).flat();
    await eventually(async () => expect((await list()).some((vm) => vm.status === 'BUILD')).toBe(true));
    for (const worker of workers) worker.process.kill();
    await Promise.all(workers.map((worker) => worker.restart()));
    await untilAllActive(vms.length);

    const doubled = await database.query(
      'SELECT virtual_machine_id FROM incarnation WHERE claimed GROUP BY virtual_machine_id HAVING count(*) > 1',
    );
    expect(doubled).toEqual([]);
    await Promise.all(vms.map((vm) => call(0, 'DELETE', `/${vm.id}`)));
    await untilGone();
    expect(await fsck(database)).toEqual([]);
  });

  it('accepts creations while the broker is away and carries them out when it is back', async () => {
    await rabbitMq.halt();
    await eventually(async () => {
      const ready = (await (await fetch(`${conductors[0]!.url}/readyz`)).json()) as { status: string };
      expect(ready.status).toBe('degraded');
    }, 30_000);
    const vms = await create(0, { name: 'patient', count: 3 });
    expect(vms.map((vm) => vm.status)).toEqual(['CREATING', 'CREATING', 'CREATING']);

    await rabbitMq.start();
    await untilAllActive(3);
    await Promise.all(vms.map((vm) => call(1, 'DELETE', `/demo/${vm.name}`)));
    await untilGone();
    expect(await fsck(database)).toEqual([]);
  });

  it('brings 500 VMs to ACTIVE though all queues are deleted meanwhile and the broker is restarted', async () => {
    const creating = Promise.all(Array.from({ length: 25 }, (_, index) => create(index % 2, { name: `many-${index}`, count: 20, labels: ['many'] })));
    await eventually(async () => expect((await list()).some((vm) => vm.status === 'ACTIVE')).toBe(true), 30_000);
    const admin = await connect(rabbitMq.url);
    const channel = await admin.createChannel();
    for (const queue of ['node-a', 'node-b']) await channel.deleteQueue(queue);
    await admin.close();
    await rabbitMq.restart();
    await creating;
    await untilAllActive(500, 120_000);

    await call(0, 'DELETE', '/demo/labels/many');
    await untilGone();
    expect(await fsck(database)).toEqual([]);
  });

  it('loses nothing when a conductor is killed right after it answered', async () => {
    const vms = await create(1, { name: 'orphaned', count: 10 });
    conductors[1]!.process.kill();
    await untilAllActive(10);
    await conductors[1]!.restart();
    await Promise.all(vms.map((vm) => call(1, 'DELETE', `/${vm.id}`)));
    await untilGone();
    expect(await fsck(database)).toEqual([]);
  });
});
