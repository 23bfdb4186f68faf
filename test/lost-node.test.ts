/**
 * Nodes that are lost and come back, each a process that can be frozen and killed (P5): never do two domains of one VM
 * run. What runs is read from the journals of the simulated hypervisors, from outside.
 */
import 'reflect-metadata';
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DataSource } from 'typeorm';
import { readJournal, simulatedJournal } from '../src/compute/hypervisor/simulated/journal.js';
import { readLease } from '../src/compute/lease/lease.js';
import { fsck } from '../src/conductor/admin/fsck.js';
import { dataSourceOptions } from '../src/conductor/database/data-source.js';
import { migrate } from '../src/conductor/database/migrate.js';
import { seed } from '../src/conductor/seed/seed.js';
import { setAutoRecover } from '../src/conductor/virtual-machines/auto-recover.js';
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

jest.setTimeout(180_000);

const PATIENCE_MS = 60_000;
const NODES = ['node-a', 'node-b'] as const;
type NodeName = (typeof NODES)[number];

const SETTINGS = {
  BATON_HEARTBEAT_SECONDS: '0.5',
  BATON_NODE_LEASE_SECONDS: '3',
  BATON_FENCE_SECONDS: '4',
  BATON_FENCE_MARGIN_SECONDS: '3',
};

interface Instance {
  readonly id: number;
  readonly uuid: string;
  readonly status: string;
  readonly power_state: string | null;
  readonly fixed_ip: string | null;
}

/** Counts, as fast as it can, on how many nodes a VM runs. */
class Sampler {
  most = 0;
  samples = 0;
  private stopped = false;
  private readonly running: Promise<void>;

  constructor(
    private readonly journals: readonly string[],
    private readonly vmUuid: string,
  ) {
    this.running = this.run();
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await this.running;
  }

  private async run(): Promise<void> {
    while (!this.stopped) {
      let running = 0;
      for (const journal of this.journals)
        for (const { vmUuid, state } of (await readJournal(journal)).values()) if (vmUuid === this.vmUuid && state === 'running') running++;
      this.most = Math.max(this.most, running);
      this.samples++;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

describe('a node that is lost', () => {
  let database: DataSource;
  let rabbitMq: RabbitMqServer;
  let conductor: ConductorProcess;
  let workers: Record<NodeName, RoleProcess>;
  let folder: string;
  let sampler: Sampler | undefined;

  const stateOf = (node: NodeName): string => join(folder, node);

  beforeAll(async () => {
    rabbitMq = await startRabbitMq();
    const servers: Servers = { databaseUrl: await freshDatabase(), amqpUrl: rabbitMq.url };
    database = await new DataSource(dataSourceOptions({ databaseUrl: servers.databaseUrl, databasePool: 2 })).initialize();
    await migrate(database);
    await seed(database, TEST_SEED);
    folder = await scratchFolder('lost-nodes');
    conductor = await startConductorProcess(servers, SETTINGS);
    const [a, b] = await Promise.all(
      NODES.map((name) =>
        startComputeProcess(servers, { name, conductorUrl: conductor.url, stateFolder: stateOf(name), env: { BATON_SIMULATED_BOOT_MS: '300' } }),
      ),
    );
    workers = { 'node-a': a!, 'node-b': b! };
    await untilUp();
  });

  afterEach(async () => {
    await sampler?.stop();
    for (const name of NODES) workers[name].process.signal('SIGCONT');
    conductor.process.signal('SIGCONT');
    await untilUp();
    for (const vm of await list()) if (vm.status !== 'DELETING') await call('DELETE', `/${vm.id}`);
    await eventually(async () => expect(await list()).toEqual([]), PATIENCE_MS);
    await eventually(async () => expect(await fsck(database)).toEqual([]), PATIENCE_MS);
  });

  afterAll(async () => {
    const leases = NODES.map((name) => readLease(stateOf(name)));
    await Promise.all(Object.values(workers ?? {}).map((worker) => worker.stop()));
    await conductor?.stop();
    await rabbitMq?.stop();
    await database?.destroy();
    // Without their state folders the watchdogs end by themselves.
    await rm(folder, { recursive: true, force: true });
    expect(leases).toHaveLength(NODES.length);
  });

  async function call<Body>(method: string, path: string, body?: object): Promise<Body> {
    const answer = await fetch(`${conductor.url}/v1/core/virtual-machines${path}`, {
      method,
      headers: { api_key: TEST_SEED.apiKey, 'content-type': 'application/json' },
      body: body && JSON.stringify(body),
    });
    const json = (await answer.json()) as Body & { message: string };
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${json.message}`);
    return json;
  }

  const list = async (): Promise<Instance[]> => (await call<{ instances: Instance[] }>('GET', '')).instances;
  const shown = async (id: number): Promise<Instance> => (await call<{ instance: Instance }>('GET', `/${id}`)).instance;
  const until = (id: number, status: string): Promise<void> =>
    eventually(async () => expect((await shown(id)).status).toBe(status), PATIENCE_MS);

  async function untilUp(): Promise<void> {
    await eventually(async () => {
      const nodes = await database.query<{ name: string }[]>(
        `SELECT n.name FROM compute_node n JOIN compute_node_heartbeat h ON h.compute_node_id = n.id
          WHERE h.beat_at > now() - interval '2 seconds' AND h.inventory_digest <> '' ORDER BY n.name`,
      );
      expect(nodes.map(({ name }) => name)).toEqual(NODES);
    }, PATIENCE_MS);
  }

  async function create(autoRecover: boolean): Promise<Instance> {
    await setAutoRecover(database, 'organization', 'demo', autoRecover);
    const { instances } = await call<{ instances: Instance[] }>('POST', '', TEST_VM);
    return instances[0]!;
  }

  async function active(autoRecover: boolean): Promise<Instance> {
    const { id } = await create(autoRecover);
    await until(id, 'ACTIVE');
    return await shown(id);
  }

  /** Where its one live incarnation is. */
  const placeOf = async (id: number): Promise<NodeName> => {
    const places = await database.query<{ name: NodeName }[]>(
      `SELECT n.name FROM incarnation i JOIN compute_node n ON n.id = i.compute_node_id
        WHERE i.virtual_machine_id = $1 AND i.ended_at IS NULL`,
      [id],
    );
    expect(places).toHaveLength(1);
    return places[0]!.name;
  };

  const otherThan = (name: NodeName): NodeName => NODES.find((other) => other !== name)!;

  const stateOn = async (node: NodeName, vm: Instance): Promise<string | undefined> =>
    [...(await readJournal(simulatedJournal(stateOf(node)))).values()].find(({ vmUuid }) => vmUuid === vm.uuid)?.state;

  const watch = (vm: Instance): Sampler => (sampler = new Sampler(NODES.map((name) => simulatedJournal(stateOf(name))), vm.uuid));

  const untilMovedTo = (node: NodeName, id: number): Promise<void> =>
    eventually(async () => {
      expect(await placeOf(id)).toBe(node);
      expect((await shown(id)).status).toBe('ACTIVE');
    }, PATIENCE_MS);

  const untilNothingIsLeft = (node: NodeName, vm: Instance): Promise<void> =>
    eventually(async () => {
      expect(await stateOn(node, vm)).toBeUndefined();
      expect(await database.query('SELECT id FROM incarnation WHERE left_behind')).toEqual([]);
    }, PATIENCE_MS);

  it('because its worker is frozen has its VM started elsewhere, and never runs it again (P5)', async () => {
    const vm = await active(true);
    const lost = await placeOf(vm.id);
    const seen = watch(vm);
    workers[lost].process.signal('SIGSTOP');
    await untilMovedTo(otherThan(lost), vm.id);
    // Frozen still: it was the watchdog.
    expect(await stateOn(lost, vm)).toBe('stopped');
    workers[lost].process.signal('SIGCONT');
    await untilNothingIsLeft(lost, vm);
    await untilUp();
    await seen.stop();
    expect(seen.most).toBe(1);
    expect(seen.samples).toBeGreaterThan(100);
    expect(await placeOf(vm.id)).toBe(otherThan(lost));
    expect((await shown(vm.id)).status).toBe('ACTIVE');
    const { instance_events: events } = await call<{ instance_events: { reason: string; message: string }[] }>('GET', `/${vm.id}/events`);
    expect(events.find(({ reason }) => reason === 'InstanceRecovery')?.message).toContain('empty disk');
  });

  it('while it was starting the VM does not finish that start when it is thawed (P5)', async () => {
    const vm = await create(true);
    const lost = await placeOf(vm.id);
    const seen = watch(vm);
    await eventually(async () => expect(await stateOn(lost, vm)).toBe('stopped'), PATIENCE_MS);
    workers[lost].process.signal('SIGSTOP');
    await untilMovedTo(otherThan(lost), vm.id);
    workers[lost].process.signal('SIGCONT');
    await untilNothingIsLeft(lost, vm);
    await seen.stop();
    expect(seen.most).toBe(1);
  });

  it('because its worker was killed has its VM stopped by the watchdog, and removed when it is back (P5)', async () => {
    const vm = await active(true);
    const lost = await placeOf(vm.id);
    const seen = watch(vm);
    workers[lost].process.kill();
    await untilMovedTo(otherThan(lost), vm.id);
    expect(await stateOn(lost, vm)).toBe('stopped');
    await workers[lost].restart();
    await untilNothingIsLeft(lost, vm);
    await seen.stop();
    expect(seen.most).toBe(1);
  });

  it('keeps a VM that nobody wants elsewhere running, shows it as unknown, and has it back', async () => {
    const vm = await active(false);
    const lost = await placeOf(vm.id);
    workers[lost].process.signal('SIGSTOP');
    await eventually(async () => expect(await shown(vm.id)).toMatchObject({ status: 'ACTIVE', power_state: 'UNKNOWN' }), PATIENCE_MS);
    const deadline = Date.now() + 12_000;
    await eventually(() => expect(Date.now()).toBeGreaterThan(deadline), 20_000);
    expect(await stateOn(lost, vm)).toBe('running');
    workers[lost].process.signal('SIGCONT');
    await eventually(async () => expect((await shown(vm.id)).power_state).toBe('RUNNING'), PATIENCE_MS);
    expect(await placeOf(vm.id)).toBe(lost);
  });

  it('for its conductor’s own silence alone gets its VM back where it was, with its disk', async () => {
    const vm = await active(true);
    const node = await placeOf(vm.id);
    const seen = watch(vm);
    conductor.process.signal('SIGSTOP');
    await eventually(async () => expect(await stateOn(node, vm)).toBe('stopped'), PATIENCE_MS);
    conductor.process.signal('SIGCONT');
    await eventually(async () => expect(await stateOn(node, vm)).toBe('running'), PATIENCE_MS);
    await until(vm.id, 'ACTIVE');
    await seen.stop();
    expect(seen.most).toBe(1);
    const incarnations = await database.query('SELECT id FROM incarnation WHERE virtual_machine_id = $1', [vm.id]);
    expect(incarnations).toHaveLength(1);
  });

  it('before it took a VM up has it made elsewhere, whoever its owner is', async () => {
    workers['node-a'].process.signal('SIGSTOP');
    workers['node-b'].process.signal('SIGSTOP');
    const { id } = await create(false);
    const lost = await placeOf(id);
    workers[otherThan(lost)].process.signal('SIGCONT');
    await untilMovedTo(otherThan(lost), id);
    workers[lost].process.signal('SIGCONT');
    await untilUp();
    expect(await placeOf(id)).toBe(otherThan(lost));
  });

  it('is watched by one process, which a killed one is replaced by', async () => {
    const vm = await active(true);
    const node = await placeOf(vm.id);
    const before = readLease(stateOf(node))!;
    const pids = await watchdogsOf(stateOf(node));
    expect(pids).toHaveLength(1);
    process.kill(pids[0]!, 'SIGKILL');
    await eventually(() => expect(readLease(stateOf(node))!.watchdog).not.toBe(before.watchdog), PATIENCE_MS);
    await eventually(async () => expect(await watchdogsOf(stateOf(node))).toHaveLength(1), PATIENCE_MS);
  });
});

/** Process ids of the watchdogs that look after a state folder. */
async function watchdogsOf(stateFolder: string): Promise<number[]> {
  const { readdir } = await import('node:fs/promises');
  const found: number[] = [];
  for (const pid of (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry))) {
    const args = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
    if (args[1]?.endsWith('watchdog.js') && args[2] === stateFolder) found.push(Number(pid));
  }
  return found;
}
