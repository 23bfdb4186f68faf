/** The whole product on this host: a conductor and a compute process of what was built, with libvirt, around one node. */
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from '@jest/globals';
import { DataSource } from 'typeorm';
import { storeBuiltImage } from '../../src/all-in-one/demo-image.js';
import { keepSshKeypair } from '../../src/all-in-one/ssh-keypair.js';
import { dataSourceOptions } from '../../src/conductor/database/data-source.js';
import { migrate } from '../../src/conductor/database/migrate.js';
import { seed } from '../../src/conductor/seed/seed.js';
import type { InstanceFields } from '../../src/conductor/virtual-machines/vm.responses.js';
import { startComputeProcess, startConductorProcess, type ConductorProcess, type RoleProcess } from '../support/baton-processes.js';
import { eventually } from '../support/eventually.js';
import { freshDatabase, sharedRabbitMq } from '../support/servers.js';
import { guestImage } from './guest-image.js';
import { LibvirtNode } from './libvirt-node.js';

/** For a test's own patience: the emulated guest needs a good ten seconds where nothing else runs. */
export const BOOT_MS = 90_000;
const JOIN_MS = 120_000;

/** Where the guest tells of itself. */
export const PORT_80 = {
  direction: 'ingress', ethertype: 'IPv4', protocol: 'tcp', remote_ip_prefix: '0.0.0.0/0', port_range_min: 80, port_range_max: 80,
} as const;

const API_KEY = 'baton_key_of_the_test_organization';

export interface RealCloudOptions {
  /** Part of the folder's name. */
  readonly name: string;
  readonly floatingIps?: readonly string[];
  /** By their names in the environment. */
  readonly conductorSettings?: Readonly<Record<string, string>>;
  readonly workerSettings?: Readonly<Record<string, string>>;
}

export class RealCloud {
  readonly apiKey = API_KEY;
  private readonly stops: (() => Promise<unknown>)[] = [];
  database!: DataSource;
  node!: LibvirtNode;
  conductor!: ConductorProcess;
  worker!: RoleProcess;
  /** Opens the guests of the demo keypair. */
  privateKeyFile!: string;

  private constructor(readonly folder: string) {}

  get imageStore(): string {
    return join(this.folder, 'image-store');
  }

  /** Resolves when the node can be given work. */
  static async start(options: RealCloudOptions): Promise<RealCloud> {
    // Not the private folder of other suites: QEMU's user must be able to reach its disks.
    const folder = await mkdtemp(join(tmpdir(), `baton-${options.name}-`));
    const cloud = new RealCloud(folder);
    cloud.stops.push(() => rm(folder, { recursive: true, force: true }));
    try {
      await chmod(folder, 0o755);
      await cloud.open(options);
      return cloud;
    } catch (error) {
      await cloud.stop();
      throw error;
    }
  }

  /** Leaves nothing of its guests, its networks and its files. */
  async stop(): Promise<void> {
    for (const step of this.stops.splice(0).reverse()) await step();
  }

  /** @param path below `/v1/core/`. */
  request<Answer>(method: string, path: string, body?: object | Buffer): Promise<Answer> {
    return this.send(method, `/v1/core/${path}`, body);
  }

  /** A string is sent as it is. @throws Error for every answer but a good one, with its status. */
  async send<Answer>(method: string, path: string, body?: object | Buffer | string, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
    const isFile = Buffer.isBuffer(body);
    const answer = await fetch(`${this.conductor.url}${path}`, {
      method,
      headers: { api_key: API_KEY, 'content-type': isFile ? 'application/octet-stream' : 'application/json', ...headers },
      body: isFile ? new Uint8Array(body) : typeof body === 'object' ? JSON.stringify(body) : body,
    });
    const json = (await answer.json()) as Answer & { message: string };
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${json.message}`);
    return json;
  }

  /** Asks for a VM of the demo environment. @param change what it shall have beside the least. */
  async createVm(name: string, change: object = {}): Promise<InstanceFields> {
    const { instances } = await this.request<{ instances: [InstanceFields] }>('POST', 'virtual-machines', {
      name,
      environment_name: 'demo',
      flavor_name: 'tiny-1',
      key_name: 'demo',
      ...('volume_name' in change ? {} : { image_name: 'Baton Tiny Linux' }),
      ...change,
    });
    return instances[0];
  }

  /** As `createVm`, with port 80 open, until the guest has phoned home. */
  async boot(name: string, change: object = {}): Promise<InstanceFields> {
    const { id } = await this.createVm(name, { security_rules: [PORT_80], ...change });
    return eventually(async () => {
      const vm = await this.shownVm(id);
      expect({ status: vm.status, fault: vm.fault }).toEqual({ status: 'ACTIVE', fault: null });
      expect(vm.reachable_at).not.toBeNull();
      return vm;
    }, 2 * BOOT_MS);
  }

  async shownVm(id: number): Promise<InstanceFields> {
    return (await this.request<{ instance: InstanceFields }>('GET', `virtual-machines/${id}`)).instance;
  }

  vmReaches(id: number, status: string, withinMs = BOOT_MS): Promise<InstanceFields> {
    return eventually(async () => {
      const vm = await this.shownVm(id);
      expect(`${vm.status} ${vm.fault ?? ''}`.trim()).toBe(status);
      return vm;
    }, withinMs);
  }

  /** Until it is shown no more. */
  vmGoes(id: number): Promise<void> {
    return eventually(async () => await expect(this.shownVm(id)).rejects.toThrow('404'), 60_000);
  }

  /** Until the worker tells of its guests, later than `after`. */
  nodeBeats(after = new Date(0)): Promise<void> {
    return eventually(async () => {
      const beats = await this.database.query(
        `SELECT FROM compute_node n JOIN compute_node_heartbeat h ON h.compute_node_id = n.id
          WHERE n.name = $1 AND h.beat_at > $2 AND h.inventory_digest <> ''`,
        [this.node.name, after],
      );
      expect(beats).toHaveLength(1);
    }, JOIN_MS);
  }

  private async open({ floatingIps = [], conductorSettings, workerSettings }: RealCloudOptions): Promise<void> {
    const imageFolder = await guestImage();
    const image = await storeBuiltImage(imageFolder, this.imageStore);
    const { publicKey, privateKeyFile } = await keepSshKeypair(join(this.folder, 'ssh'));
    this.privateKeyFile = privateKeyFile;
    const servers = { databaseUrl: await freshDatabase(), amqpUrl: sharedRabbitMq() };
    this.database = await new DataSource(dataSourceOptions({ databaseUrl: servers.databaseUrl, databasePool: 2 })).initialize();
    this.stops.push(() => this.database.destroy());
    await migrate(this.database);
    await seed(this.database, { images: [image], floatingIps, publicKey, apiKey: API_KEY });
    this.node = await LibvirtNode.prepare(join(this.folder, 'node'), imageFolder);
    this.stops.push(() => this.node.destroy());
    this.conductor = await startConductorProcess(servers, { BATON_IMAGE_STORE: this.imageStore, ...conductorSettings });
    this.stops.push(() => this.conductor.stop());
    this.worker = await startComputeProcess(servers, {
      name: this.node.name,
      conductorUrl: this.conductor.url,
      stateFolder: this.node.stateFolder,
      env: { ...this.node.settings, ...workerSettings },
    });
    this.stops.push(() => this.worker.stop());
    await this.nodeBeats();
  }
}

/** What a guest serves at port 80. */
export async function pageOf(vm: InstanceFields, path = '/'): Promise<string> {
  const answer = await fetch(`http://${vm.fixed_ip}${path}`, { signal: AbortSignal.timeout(30_000), headers: { connection: 'close' } });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return await answer.text();
}

/** What a guest says of itself, once it has booted so often. */
export const bootsOf = (vm: InstanceFields, count: number): Promise<{ readonly uptime: number }> =>
  eventually(async () => {
    const page = await pageOf(vm);
    const value = (name: string): number => Number(new RegExp(`^${name}=(.*)$`, 'm').exec(page)?.[1]);
    expect(value('boots')).toBe(count);
    return { uptime: value('uptime') };
  }, BOOT_MS);
