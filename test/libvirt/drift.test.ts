/**
 * The table of changes that somebody makes beside Baton, with virsh, on real libvirt (P8): each is healed or shown within
 * a minute. The guest's disk counts its boots, so that it can be seen from outside on which disk it runs.
 */
import 'reflect-metadata';
import { execFile } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { DataSource } from 'typeorm';
import { storeBuiltImage } from '../../src/all-in-one/demo-image.js';
import { keepSshKeypair } from '../../src/all-in-one/ssh-keypair.js';
import { fsck } from '../../src/conductor/admin/fsck.js';
import { dataSourceOptions } from '../../src/conductor/database/data-source.js';
import { migrate } from '../../src/conductor/database/migrate.js';
import { listDrift, type ListedDrift } from '../../src/conductor/drift/drift-list.js';
import { seed } from '../../src/conductor/seed/seed.js';
import type { InstanceFields } from '../../src/conductor/virtual-machines/vm.responses.js';
import { startComputeProcess, startConductorProcess, type ConductorProcess, type RoleProcess } from '../support/baton-processes.js';
import { eventually } from '../support/eventually.js';
import { freshDatabase, sharedRabbitMq } from '../support/servers.js';
import { guestImage } from './guest-image.js';
import { LibvirtNode } from './libvirt-node.js';

const run = promisify(execFile);

const API_KEY = 'baton_key_of_the_test_organization';
const BOOT_MS = 90_000;
/** What is promised. */
const PROMISED_MS = 60_000;

interface Status {
  readonly boots: number;
  readonly uptime: number;
}

describe('behind the back of Baton', () => {
  let folder: string;
  let database: DataSource;
  let node: LibvirtNode;
  let conductor: ConductorProcess;
  let worker: RoleProcess;
  let vm: InstanceFields;

  beforeAll(async () => {
    // Not the private folder of other suites: QEMU's user must be able to reach its disks.
    folder = await mkdtemp(join(tmpdir(), 'baton-drift-'));
    await chmod(folder, 0o755);
    const imageStore = join(folder, 'image-store');
    const imageFolder = await guestImage();
    const image = await storeBuiltImage(imageFolder, imageStore);
    const { publicKey } = await keepSshKeypair(join(folder, 'ssh'));
    const servers = { databaseUrl: await freshDatabase(), amqpUrl: sharedRabbitMq() };
    database = await new DataSource(dataSourceOptions({ databaseUrl: servers.databaseUrl, databasePool: 2 })).initialize();
    await migrate(database);
    await seed(database, { images: [image], floatingIps: [], publicKey, apiKey: API_KEY });
    node = await LibvirtNode.prepare(join(folder, 'node'), imageFolder);
    conductor = await startConductorProcess(servers, { BATON_IMAGE_STORE: imageStore });
    worker = await startComputeProcess(servers, {
      name: node.name,
      conductorUrl: conductor.url,
      stateFolder: node.stateFolder,
      env: node.settings,
    });
    await eventually(async () => {
      const up = `SELECT FROM compute_node n JOIN compute_node_heartbeat h ON h.compute_node_id = n.id WHERE h.inventory_digest <> ''`;
      expect(await database.query(up)).toHaveLength(1);
    }, 120_000);
    const { instances } = await request<{ instances: InstanceFields[] }>('POST', 'virtual-machines', {
      name: 'much-tried',
      environment_name: 'demo',
      flavor_name: 'tiny-1',
      image_name: 'Baton Tiny Linux',
      key_name: 'demo',
      // Where the guest tells of itself.
      security_rules: [
        { direction: 'ingress', ethertype: 'IPv4', protocol: 'tcp', remote_ip_prefix: '0.0.0.0/0', port_range_min: 80, port_range_max: 80 },
      ],
    });
    vm = instances[0]!;
    await reaches('ACTIVE');
    await boots(1);
  }, 300_000);

  afterAll(async () => {
    await worker?.stop();
    await conductor?.stop();
    await node?.destroy();
    await database?.destroy();
    if (folder) await rm(folder, { recursive: true, force: true });
  }, 60_000);

  async function request<Answer>(method: string, path: string, body?: object): Promise<Answer> {
    const answer = await fetch(`${conductor.url}/v1/core/${path}`, {
      method,
      headers: { api_key: API_KEY, 'content-type': 'application/json' },
      body: body && JSON.stringify(body),
    });
    const json = (await answer.json()) as Answer & { message: string };
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${json.message}`);
    return json;
  }

  async function reaches(status: string): Promise<void> {
    vm = await eventually(async () => {
      const { instance } = await request<{ instance: InstanceFields }>('GET', `virtual-machines/${vm.id}`);
      expect(`${instance.status} ${instance.fault ?? ''}`.trim()).toBe(status);
      return instance;
    }, BOOT_MS);
  }

  /** What the guest says of itself, once it has booted so often. */
  const boots = (count: number): Promise<Status> =>
    eventually(async () => {
      const answer = await fetch(`http://${vm.fixed_ip}/`, { signal: AbortSignal.timeout(5_000), headers: { connection: 'close' } });
      const text = await answer.text();
      const value = (name: string): number => Number(new RegExp(`^${name}=(.*)$`, 'm').exec(text)?.[1]);
      expect(value('boots')).toBe(count);
      return { boots: value('boots'), uptime: value('uptime') };
    }, BOOT_MS);

  const virsh = async (...args: string[]): Promise<string> => (await run('virsh', ['-c', 'qemu:///system', ...args])).stdout;

  const domainName = (): string => `baton-${vm.uuid}`;

  /** The last drift that was found. */
  const last = async (): Promise<ListedDrift | undefined> => (await listDrift(database, { all: true })).at(-1);

  const untilOver = (kind: string, outcome: string): Promise<void> =>
    eventually(async () => expect(await last()).toMatchObject({ kind, outcome, endedAt: expect.any(Date) }), PROMISED_MS);

  it('virsh destroy: the guest is started again, on its disk', async () => {
    await virsh('destroy', domainName());
    await untilOver('killed', 'healed');
    expect(await virsh('domstate', domainName())).toContain('running');
    await boots(2);
    await reaches('ACTIVE');
  }, PROMISED_MS + BOOT_MS);

  it('virsh suspend: the guest goes on where it was', async () => {
    const { uptime } = await boots(2);
    await virsh('suspend', domainName());
    await untilOver('paused', 'healed');
    expect(await virsh('domstate', domainName())).toContain('running');
    expect((await boots(2)).uptime).toBeGreaterThan(uptime);
  }, PROMISED_MS + BOOT_MS);

  it('virsh undefine: the domain is made anew on the disk that it had', async () => {
    await virsh('destroy', domainName());
    await virsh('undefine', domainName());
    await untilOver('missing-domain', 'healed');
    await boots(3);
    await reaches('ACTIVE');
  }, PROMISED_MS + BOOT_MS);

  it('virsh start of a VM that shall be off: it is switched off again', async () => {
    await request('GET', `virtual-machines/${vm.id}/stop`);
    await reaches('SHUTOFF');
    await virsh('start', domainName());
    await untilOver('started', 'healed');
    expect(await virsh('domstate', domainName())).toContain('shut off');
    await request('GET', `virtual-machines/${vm.id}/start`);
    await reaches('ACTIVE');
  }, PROMISED_MS + 2 * BOOT_MS);

  it('a domain of somebody else: it is shown and left as it is', async () => {
    const name = `not-of-baton-${process.pid}`;
    const document = join(folder, 'foreign.xml');
    await writeFile(document, `<domain type='qemu'><name>${name}</name><memory unit='MiB'>16</memory><os><type>hvm</type></os></domain>`);
    await virsh('define', document);
    try {
      const before = await virsh('dumpxml', name);
      const shown = async (): Promise<ListedDrift | undefined> =>
        (await listDrift(database, { all: false })).find(({ domain }) => domain === name);
      await eventually(async () => expect(await shown()).toMatchObject({ kind: 'foreign-domain', outcome: 'shown' }), PROMISED_MS);
      expect(await virsh('dumpxml', name)).toBe(before);
    } finally {
      await virsh('undefine', name);
    }
    await eventually(async () => expect((await listDrift(database, { all: true })).find(({ domain }) => domain === name)?.outcome).toBe('gone'), PROMISED_MS);
  }, 3 * PROMISED_MS);

  it('a removed disk: it is told of while the guest runs, and never replaced by an empty one', async () => {
    const { stdout } = await run('virsh', ['-c', 'qemu:///system', 'domblklist', domainName()]);
    const disk = /vda\s+(\S+)/.exec(stdout)![1]!;
    await rm(disk);
    await eventually(async () => expect(await last()).toMatchObject({ kind: 'unlinked-disk', outcome: 'shown' }), PROMISED_MS);
    expect(await virsh('domstate', domainName())).toContain('running');

    await virsh('destroy', domainName());
    await eventually(async () => {
      const { instance } = await request<{ instance: InstanceFields }>('GET', `virtual-machines/${vm.id}`);
      expect(instance).toMatchObject({ status: 'ERROR', fault: expect.stringContaining('A disk of the virtual machine is missing') });
    }, PROMISED_MS);
    await request('GET', `virtual-machines/${vm.id}/hard-reboot`);
    await eventually(async () => {
      const { instance } = await request<{ instance: InstanceFields }>('GET', `virtual-machines/${vm.id}`);
      expect(instance.fault).toContain('The disk of the virtual machine is missing on its node.');
    }, PROMISED_MS);
    expect(await virsh('domstate', domainName())).toContain('shut off');
  }, 4 * PROMISED_MS);

  it('leaves no trace when the VM is deleted', async () => {
    await request('DELETE', `virtual-machines/${vm.id}`);
    await eventually(async () => expect(await node.traces(vm)).toEqual([]), PROMISED_MS);
    await eventually(async () => expect(await fsck(database)).toEqual([]), PROMISED_MS);
  }, 2 * PROMISED_MS);
});
