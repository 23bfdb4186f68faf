/**
 * The life of one real guest through the whole product: stopped and started, reset, hibernated and restored, resized.
 * Its disk counts its boots and its uptime goes on or begins anew, so that it can be seen from outside what became of
 * it. Emulated where KVM does not carry guests, so that it runs on any Linux host with root.
 */
import 'reflect-metadata';
import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
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
const GIB = 2 ** 30;

interface Status {
  readonly boots: number;
  readonly uptime: number;
}

describe('a real guest', () => {
  let folder: string;
  let database: DataSource;
  let node: LibvirtNode;
  let conductor: ConductorProcess;
  let worker: RoleProcess;
  let vm: InstanceFields;

  beforeAll(async () => {
    // Not the private folder of other suites: QEMU's user must be able to reach its disks.
    folder = await mkdtemp(join(tmpdir(), 'baton-lifecycle-'));
    await chmod(folder, 0o755);
    const imageStore = join(folder, 'image-store');
    const imageFolder = await guestImage();
    const image = await storeBuiltImage(imageFolder, imageStore);
    const { publicKey } = await keepSshKeypair(join(folder, 'ssh'));
    const servers = { databaseUrl: await freshDatabase(), amqpUrl: sharedRabbitMq() };
    database = await new DataSource(dataSourceOptions({ databaseUrl: servers.databaseUrl, databasePool: 2 })).initialize();
    await migrate(database);
    await seed(database, { images: [image], floatingIps: [], publicKey, apiKey: API_KEY });
    await database.query(
      `INSERT INTO flavor (region_id, name, cpu, ram_mib, disk, gpu, gpu_count) SELECT id, 'tiny-2', 2, 384, 3, '', 0 FROM region`,
    );
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
      name: 'many-lives',
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

  const act = (action: string): Promise<unknown> => request('GET', `virtual-machines/${vm.id}/${action}`);

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

  it('boots again after it was stopped and started', async () => {
    await act('stop');
    await reaches('SHUTOFF');
    expect(await virsh('domstate', vm.uuid)).toContain('shut off');
    await act('start');
    await reaches('ACTIVE');
    await boots(2);
  }, 2 * BOOT_MS);

  it('boots anew at a hard reboot', async () => {
    await act('hard-reboot');
    await reaches('ACTIVE');
    const { uptime } = await boots(3);
    expect(uptime).toBeLessThan(60);
  }, 2 * BOOT_MS);

  it('is off while it is hibernated, and then goes on where it was', async () => {
    const before = await boots(3);
    await act('hibernate');
    await reaches('HIBERNATED');
    expect(await virsh('domstate', vm.uuid)).toContain('shut off');
    expect(await virsh('dominfo', vm.uuid)).toMatch(/Managed save:\s+yes/);
    expect(await database.query('SELECT vcpus_used, memory_mib_used, disk_gib_used FROM compute_node')).toEqual([
      { vcpus_used: 0, memory_mib_used: 0, disk_gib_used: 1 },
    ]);
    expect(await fsck(database)).toEqual([]);

    await act('hibernate-restore');
    await reaches('ACTIVE');
    const after = await boots(3);
    expect(after.uptime).toBeGreaterThan(before.uptime);
    expect(await virsh('dominfo', vm.uuid)).toMatch(/Managed save:\s+no/);
  }, 2 * BOOT_MS);

  it('is stopped and booted with the processors, memory and disk of its new flavor', async () => {
    await request('POST', `virtual-machines/${vm.id}/resize`, { flavor_name: 'tiny-2' });
    await reaches('ACTIVE');
    await boots(4);
    const domain = await virsh('dominfo', vm.uuid);
    expect(domain).toMatch(/CPU\(s\):\s+2\n/);
    expect(domain).toMatch(new RegExp(`Max memory:\\s+${384 * 1024} KiB`));
    const [instance] = await readdir(join(node.stateFolder, 'instances'));
    const disk = join(node.stateFolder, 'instances', instance!, 'disk.qcow2');
    // The running guest has it locked; reading its header does no harm.
    const { stdout } = await run('qemu-img', ['info', '-U', '-f', 'qcow2', '--output=json', disk]);
    expect(JSON.parse(stdout)['virtual-size']).toBe(3 * GIB);
  }, 2 * BOOT_MS);

  it('leaves nothing when it is deleted while it is hibernated', async () => {
    await act('hibernate');
    await reaches('HIBERNATED');
    const saved = join('/var/lib/libvirt/qemu/save', `baton-${vm.uuid}.save`);
    expect((await run('ls', [saved])).stdout).toContain(vm.uuid);
    await request('DELETE', `virtual-machines/${vm.id}`);
    await eventually(async () => await expect(act('hibernate')).rejects.toThrow('404'), 60_000);
    expect(await virsh('list', '--all', '--uuid')).not.toContain(vm.uuid);
    await expect(run('ls', [saved])).rejects.toThrow();
    expect(await readdir(join(node.stateFolder, 'instances'))).toEqual([]);
    expect(await fsck(database)).toEqual([]);
  }, 2 * BOOT_MS);
});
