/**
 * Images that an organization brings, with real guests: a disk with a boot loader of its own, registered by URL and
 * uploaded, boots by the host's BIOS emulation alone. What is wrong leaves nothing on the node, and what nobody stands
 * on any more goes from its cache.
 */
import 'reflect-metadata';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, mkdtemp, readdir, readFile, rm, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { DataSource } from 'typeorm';
import { keepSshKeypair } from '../../src/all-in-one/ssh-keypair.js';
import { fsck } from '../../src/conductor/admin/fsck.js';
import { dataSourceOptions } from '../../src/conductor/database/data-source.js';
import { migrate } from '../../src/conductor/database/migrate.js';
import { seed } from '../../src/conductor/seed/seed.js';
import type { InstanceFields } from '../../src/conductor/virtual-machines/vm.responses.js';
import { FileServer } from '../fixtures/file-server.js';
import { startComputeProcess, startConductorProcess, type ConductorProcess, type RoleProcess } from '../support/baton-processes.js';
import { eventually } from '../support/eventually.js';
import { freshDatabase, sharedRabbitMq } from '../support/servers.js';
import { guestImage, makeBootableDisk } from './guest-image.js';
import { LibvirtNode } from './libvirt-node.js';

const run = promisify(execFile);

const API_KEY = 'baton_key_of_the_test_organization';
const LOOPBACK = { BATON_EGRESS_ALLOW: '127.0.0.0/8' };
const BOOT_MS = 180_000;
const TWO_WEEKS_MS = 14 * 24 * 3600_000;

interface ImageOfOrganization {
  readonly id: number;
  readonly name: string;
  readonly status: string;
  readonly problem: string | null;
}

const sha256 = (content: Buffer): string => createHash('sha256').update(content).digest('hex');

describe('images of real guests', () => {
  let folder: string;
  let imageStore: string;
  let database: DataSource;
  let node: LibvirtNode;
  let conductor: ConductorProcess;
  let worker: RoleProcess;
  let server: FileServer;
  let disk: Buffer;
  let rawDisk: Buffer;
  let ofUrl: ImageOfOrganization;
  let ofUpload: ImageOfOrganization;
  let first: InstanceFields;
  let second: InstanceFields;

  beforeAll(async () => {
    // Not the private folder of other suites: QEMU's user must be able to reach its disks.
    folder = await mkdtemp(join(tmpdir(), 'baton-guest-images-'));
    await chmod(folder, 0o755);
    imageStore = join(folder, 'image-store');
    await makeBootableDisk(join(folder, 'disk.qcow2'));
    await run('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', join(folder, 'disk.qcow2'), join(folder, 'disk.raw')]);
    [disk, rawDisk] = await Promise.all([readFile(join(folder, 'disk.qcow2')), readFile(join(folder, 'disk.raw'))]);
    server = new FileServer();
    await server.listen();
    const { publicKey } = await keepSshKeypair(join(folder, 'ssh'));
    const servers = { databaseUrl: await freshDatabase(), amqpUrl: sharedRabbitMq() };
    database = await new DataSource(dataSourceOptions({ databaseUrl: servers.databaseUrl, databasePool: 2 })).initialize();
    await migrate(database);
    await seed(database, { images: [], floatingIps: [], publicKey, apiKey: API_KEY });
    node = await LibvirtNode.prepare(join(folder, 'node'), await guestImage());
    conductor = await startConductorProcess(servers, { BATON_IMAGE_STORE: imageStore });
    worker = await startComputeProcess(servers, {
      name: node.name,
      conductorUrl: conductor.url,
      stateFolder: node.stateFolder,
      env: { ...node.settings, ...LOOPBACK },
    });
    await untilNodeBeats(new Date(0));
  }, 240_000);

  afterAll(async () => {
    await worker?.stop();
    await conductor?.stop();
    await node?.destroy();
    await server?.close();
    await database?.destroy();
    if (folder) await rm(folder, { recursive: true, force: true });
  }, 60_000);

  const untilNodeBeats = (after: Date): Promise<void> =>
    eventually(async () => {
      const beats = await database.query(`SELECT FROM compute_node_heartbeat WHERE beat_at > $1 AND inventory_digest <> ''`, [after]);
      expect(beats).toHaveLength(1);
    }, 120_000);

  async function request<Answer>(method: string, path: string, body?: object | Buffer): Promise<Answer> {
    const isFile = Buffer.isBuffer(body);
    const answer = await fetch(`${conductor.url}/v1/core/${path}`, {
      method,
      headers: { api_key: API_KEY, 'content-type': isFile ? 'application/octet-stream' : 'application/json' },
      body: isFile ? new Uint8Array(body) : body && JSON.stringify(body),
    });
    const json = (await answer.json()) as Answer & { message: string };
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${json.message}`);
    return json;
  }

  const register = async (payload: object): Promise<ImageOfOrganization> =>
    (await request<{ image: ImageOfOrganization }>('POST', 'images', { region_name: 'default-1', ...payload })).image;

  const reaches = ({ id }: ImageOfOrganization, status: string): Promise<ImageOfOrganization> =>
    eventually(async () => {
      const { image } = await request<{ image: ImageOfOrganization }>('GET', `images/${id}`);
      expect(image).toMatchObject({ status });
      return image;
    }, 60_000);

  const shownVm = async (id: number): Promise<InstanceFields> =>
    (await request<{ instance: InstanceFields }>('GET', `virtual-machines/${id}`)).instance;

  /** Until the guest has phoned home. */
  async function boot(name: string, image: ImageOfOrganization): Promise<InstanceFields> {
    const { instances } = await request<{ instances: InstanceFields[] }>('POST', 'virtual-machines', {
      name,
      environment_name: 'demo',
      flavor_name: 'tiny-1',
      key_name: 'demo',
      image_name: image.name,
      security_rules: [
        { direction: 'ingress', ethertype: 'IPv4', protocol: 'tcp', remote_ip_prefix: '0.0.0.0/0', port_range_min: 80, port_range_max: 80 },
      ],
    });
    return eventually(async () => {
      const vm = await shownVm(instances[0]!.id);
      expect({ status: vm.status, fault: vm.fault }).toEqual({ status: 'ACTIVE', fault: null });
      expect(vm.reachable_at).not.toBeNull();
      return vm;
    }, BOOT_MS);
  }

  async function remove(vm: InstanceFields): Promise<void> {
    await request('DELETE', `virtual-machines/${vm.id}`);
    await eventually(async () => await expect(shownVm(vm.id)).rejects.toThrow('404'), 60_000);
  }

  const page = async (vm: InstanceFields): Promise<string> =>
    (await fetch(`http://${vm.fixed_ip}/`, { signal: AbortSignal.timeout(10_000), headers: { connection: 'close' } })).text();

  const domainOf = async (vm: InstanceFields): Promise<string> =>
    (await run('virsh', ['-c', 'qemu:///system', 'dumpxml', vm.uuid!])).stdout;

  const cached = (): Promise<string[]> => readdir(join(node.stateFolder, 'images'));

  it('are registered by URL and checksum, and boot by themselves', async () => {
    server.files.set('/disk.qcow2', disk);
    ofUrl = await register({ name: 'of-url', format: 'qcow2', url: server.url('/disk.qcow2'), checksum: sha256(disk) });
    await reaches(ofUrl, 'available');
    expect(await cached()).toEqual([sha256(disk)]);
    first = await boot('of-url', ofUrl);
    expect(await page(first)).toContain('of-url');
    expect(await domainOf(first)).not.toContain('<kernel>');
  }, 2 * BOOT_MS);

  it('that have another checksum end in error, and leave no file', async () => {
    const altered = Buffer.from(disk);
    altered[altered.length - 1]! ^= 1;
    server.files.set('/altered.qcow2', altered);
    const image = await register({ name: 'altered', format: 'qcow2', url: server.url('/altered.qcow2'), checksum: sha256(disk) });
    expect(await reaches(image, 'error')).toMatchObject({ problem: expect.stringContaining(`${sha256(disk)} was expected`) });
    expect(await cached()).toEqual([sha256(disk)]);
    await request('DELETE', `images/${image.id}`);
  }, 90_000);

  it('are uploaded, also as raw disks, and boot by themselves', async () => {
    ofUpload = await register({ name: 'of-upload', format: 'raw' });
    await request('PUT', `images/${ofUpload.id}/file`, rawDisk);
    await reaches(ofUpload, 'available');
    second = await boot('of-upload', ofUpload);
    expect(await page(second)).toContain('of-upload');
    expect(await domainOf(second)).not.toContain('<kernel>');
    expect((await cached()).sort()).toEqual([sha256(disk), sha256(rawDisk)].sort());
  }, 2 * BOOT_MS);

  it('go from the cache of their node when they were not used for long, unless a disk stands on them', async () => {
    await remove(first);
    await request('DELETE', `images/${ofUrl.id}`);
    const longAgo = new Date(Date.now() - TWO_WEEKS_MS);
    for (const file of await cached()) await utimes(join(node.stateFolder, 'images', file), longAgo, longAgo);
    const restartedAt = new Date();
    await worker.restart();
    await untilNodeBeats(restartedAt);
    await eventually(async () => expect(await cached()).toEqual([sha256(rawDisk)]), 30_000);
    expect(await page(second)).toContain('of-upload');
  }, BOOT_MS);

  it('leave nothing when they and their VMs are deleted', async () => {
    await remove(second);
    await request('DELETE', `images/${ofUpload.id}`);
    const uploads = join(imageStore, 'uploads');
    // What was deleted just now is left alone for a while.
    const longAgo = new Date(Date.now() - TWO_WEEKS_MS);
    await database.query('UPDATE image SET deleted_at = $2 WHERE id = $1', [ofUpload.id, longAgo]);
    for (const file of await readdir(uploads)) await utimes(join(uploads, file), longAgo, longAgo);
    await eventually(async () => expect(await readdir(uploads)).toEqual([]), 90_000);
    expect(await readdir(join(node.stateFolder, 'instances'))).toEqual([]);
    for (const vm of [first, second]) expect(await node.traces({ ...vm, floating_ip: 'none' })).toEqual([]);
    await eventually(async () => expect(await fsck(database)).toEqual([]));
  }, 180_000);
});
