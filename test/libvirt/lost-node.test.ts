/**
 * P5 on real QEMU: two nodes, each with a libvirt of its own. The worker of one is frozen past its lease while its VM
 * runs; the VM is started on the other, and never do two QEMUs of it run, nor does anything of it stay where it was.
 */
import 'reflect-metadata';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { DataSource } from 'typeorm';
import { storeBuiltImage } from '../../src/all-in-one/demo-image.js';
import { keepSshKeypair } from '../../src/all-in-one/ssh-keypair.js';
import { guestProcesses } from '../../src/compute/hypervisor/libvirt/libvirt-fence.js';
import { fsck } from '../../src/conductor/admin/fsck.js';
import { dataSourceOptions } from '../../src/conductor/database/data-source.js';
import { migrate } from '../../src/conductor/database/migrate.js';
import { seed } from '../../src/conductor/seed/seed.js';
import { setAutoRecover } from '../../src/conductor/virtual-machines/auto-recover.js';
import type { InstanceFields } from '../../src/conductor/virtual-machines/vm.responses.js';
import { JOIN_TOKEN, startConductorProcess, type ConductorProcess } from '../support/baton-processes.js';
import { eventually } from '../support/eventually.js';
import { LoadBalancer } from '../support/load-balancer.js';
import { freePorts } from '../support/scratch.js';
import { freshDatabase, sharedRabbitMq } from '../support/servers.js';
import { guestImage } from './guest-image.js';
import { VirtualHost, type HostProcess } from './virtual-host.js';

const API_KEY = 'baton_key_of_the_test_organization';
const PATIENCE_MS = 60_000;
const SETTINGS = { BATON_HEARTBEAT_SECONDS: '0.5', BATON_NODE_LEASE_SECONDS: '3', BATON_FENCE_SECONDS: '6', BATON_FENCE_MARGIN_SECONDS: '3' };

interface Node {
  readonly name: string;
  readonly host: VirtualHost;
  readonly stateFolder: string;
  readonly worker: HostProcess;
}

describe('a node with a libvirt of its own that is lost', () => {
  let folder: string;
  let database: DataSource;
  let conductor: ConductorProcess;
  const forwards: LoadBalancer[] = [];
  const nodes: Node[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'baton-lost-libvirt-'));
    await chmod(folder, 0o755);
    const imageStore = join(folder, 'image-store');
    const image = await storeBuiltImage(await guestImage(), imageStore);
    const { publicKey } = await keepSshKeypair(join(folder, 'ssh'));
    const servers = { databaseUrl: await freshDatabase(), amqpUrl: sharedRabbitMq() };
    database = await new DataSource(dataSourceOptions({ databaseUrl: servers.databaseUrl, databasePool: 2 })).initialize();
    await migrate(database);
    await seed(database, { images: [image], floatingIps: [], publicKey, apiKey: API_KEY });
    await setAutoRecover(database, 'organization', 'demo', true);
    conductor = await startConductorProcess(servers, { ...SETTINGS, BATON_IMAGE_STORE: imageStore });
    for (const number of [1, 2]) nodes.push(await startNode(number, servers.amqpUrl));
    await eventually(async () => {
      const up = `SELECT FROM compute_node_heartbeat WHERE beat_at > now() - interval '2 seconds' AND inventory_digest <> ''`;
      expect(await database.query(up)).toHaveLength(2);
    }, PATIENCE_MS).catch(said);
  }, 300_000);

  afterAll(async () => {
    for (const { host } of nodes) await host.stop();
    for (const forward of forwards) await forward.close();
    await conductor?.stop();
    await database?.destroy();
    if (folder) await rm(folder, { recursive: true, force: true });
  }, 60_000);

  function said(error: Error): never {
    throw new Error(`${error.message}\n${nodes.map(({ name, worker }) => `${name} said last:\n${worker.lastOutput()}`).join('\n')}`);
  }

  async function startNode(number: number, amqpUrl: string): Promise<Node> {
    const name = `lost-${process.pid}-${number}`;
    const host = await VirtualHost.start(number, join(folder, `host-${number}`));
    const forward = async (url: string): Promise<string> => {
      const [port] = (await freePorts(1)) as [number];
      const forwarded = new URL(url);
      forwards.push(await LoadBalancer.listen(port, [Number(forwarded.port)], host.gateway));
      forwarded.host = `${host.gateway}:${port}`;
      return forwarded.href;
    };
    const stateFolder = join(folder, name);
    const env = {
      ...process.env,
      BATON_ENV: 'development',
      BATON_LOG_LEVEL: 'warn',
      BATON_JOIN_TOKEN: JOIN_TOKEN,
      AMQP_URL: await forward(amqpUrl),
      BATON_CONDUCTOR_URL: await forward(conductor.url),
      BATON_STATE_FOLDER: stateFolder,
      BATON_HYPERVISOR: 'libvirt',
      BATON_ACCELERATION: 'tcg',
    };
    const main = join(process.cwd(), 'dist', 'main.js');
    await host.run('install', '-d', '-m', '755', stateFolder);
    return { name, host, stateFolder, worker: await host.spawn(process.execPath, [main, '--compute', '--name', name], env) };
  }

  async function request<Answer>(method: string, path: string, body?: object): Promise<Answer> {
    const answer = await fetch(`${conductor.url}/v1/core/virtual-machines${path}`, {
      method,
      headers: { api_key: API_KEY, ...(body && { 'content-type': 'application/json' }) },
      body: body && JSON.stringify(body),
    });
    const json = (await answer.json()) as Answer & { message: string };
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${json.message}`);
    return json;
  }

  async function placeOf(id: number): Promise<string> {
    const places = await database.query<{ name: string }[]>(
      `SELECT n.name FROM incarnation i JOIN compute_node n ON n.id = i.compute_node_id WHERE i.virtual_machine_id = $1 AND i.ended_at IS NULL`,
      [id],
    );
    expect(places).toHaveLength(1);
    return places[0]!.name;
  }

  const domainsOn = async ({ host }: Node): Promise<string[]> =>
    (await host.run('virsh', '-c', 'qemu:///system', 'list', '--all', '--uuid')).split('\n').filter((line) => line !== '');

  it('has its VM started on the other, whose QEMU is the only one, and keeps nothing of it (P5)', async () => {
    const { instances } = await request<{ instances: InstanceFields[] }>('POST', '', {
      name: 'wanted', environment_name: 'demo', flavor_name: 'tiny-1', image_name: 'Baton Tiny Linux', key_name: 'demo',
    });
    const { id, uuid } = instances[0]!;
    const reaches = (status: string): Promise<void> =>
      eventually(async () => expect((await request<{ instance: InstanceFields }>('GET', `/${id}`)).instance).toMatchObject({ status, fault: null }), PATIENCE_MS).catch(said);
    await reaches('ACTIVE');
    const lostName = await placeOf(id);
    const lost = nodes.find(({ name }) => name === lostName)!;
    const other = nodes.find(({ name }) => name !== lostName)!;
    const running = (): Promise<number[]> => guestProcesses(new Set([uuid]));
    const [first, ...more] = await running();
    expect(more).toEqual([]);

    let most = 0;
    let looks = 0;
    let watching = true;
    const watch = (async () => {
      for (; watching; looks++) most = Math.max(most, (await running()).length);
    })();
    lost.worker.freeze();
    await eventually(async () => expect(await placeOf(id)).toBe(other.name), PATIENCE_MS);
    await reaches('ACTIVE');
    // Frozen still: it was the watchdog.
    const [second, ...others] = await running();
    expect(others).toEqual([]);
    expect(second).not.toBe(first);
    expect(await domainsOn(lost)).toEqual([uuid]);
    expect(await domainsOn(other)).toEqual([uuid]);

    lost.worker.thaw();
    await eventually(async () => expect(await domainsOn(lost)).toEqual([]), PATIENCE_MS);
    await eventually(async () => expect(await lost.host.run('ls', join(lost.stateFolder, 'instances'))).toBe(''), PATIENCE_MS);
    await eventually(async () => expect(await database.query('SELECT id FROM incarnation WHERE left_behind')).toEqual([]), PATIENCE_MS);
    expect(await running()).toEqual([second]);
    expect(await placeOf(id)).toBe(other.name);
    await reaches('ACTIVE');
    watching = false;
    await watch;
    expect(most).toBe(1);
    expect(looks).toBeGreaterThan(50);
    await eventually(async () => expect(await fsck(database)).toEqual([]), PATIENCE_MS);

    await request('DELETE', `/${id}`);
    await eventually(async () => expect(await domainsOn(other)).toEqual([]), PATIENCE_MS);
    expect(await running()).toEqual([]);
    // Both hosts had no guest at first, and one has none again.
    for (const { worker } of nodes) expect(worker.lastOutput()).not.toContain('cannot be read');
  }, 5 * PATIENCE_MS);
});
