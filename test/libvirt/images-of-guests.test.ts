/**
 * Images that an organization brings, with real guests: a disk with a boot loader of its own, registered by URL and
 * uploaded, boots by the host's BIOS emulation alone. What is wrong leaves nothing on the node, and what nobody stands
 * on any more goes from its cache.
 */
import 'reflect-metadata';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdir, readFile, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { fsck } from '../../src/conductor/admin/fsck.js';
import type { InstanceFields } from '../../src/conductor/virtual-machines/vm.responses.js';
import { FileServer } from '../fixtures/file-server.js';
import { eventually } from '../support/eventually.js';
import { makeBootableDisk } from './guest-image.js';
import { BOOT_MS, pageOf, RealCloud } from './real-cloud.js';

const run = promisify(execFile);

const LOOPBACK = { BATON_EGRESS_ALLOW: '127.0.0.0/8' };
const TWO_WEEKS_MS = 14 * 24 * 3600_000;

interface ImageOfOrganization {
  readonly id: number;
  readonly name: string;
  readonly status: string;
  readonly problem: string | null;
}

const sha256 = (content: Buffer): string => createHash('sha256').update(content).digest('hex');

describe('images of real guests', () => {
  let cloud: RealCloud;
  let server: FileServer;
  let disk: Buffer;
  let rawDisk: Buffer;
  let ofUrl: ImageOfOrganization;
  let ofUpload: ImageOfOrganization;
  let first: InstanceFields;
  let second: InstanceFields;

  beforeAll(async () => {
    server = new FileServer();
    await server.listen();
    cloud = await RealCloud.start({ name: 'guest-images', workerSettings: LOOPBACK });
    await makeBootableDisk(join(cloud.folder, 'disk.qcow2'));
    await run('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', join(cloud.folder, 'disk.qcow2'), join(cloud.folder, 'disk.raw')]);
    [disk, rawDisk] = await Promise.all([readFile(join(cloud.folder, 'disk.qcow2')), readFile(join(cloud.folder, 'disk.raw'))]);
  }, 240_000);

  afterAll(async () => {
    await cloud?.stop();
    await server?.close();
  }, 60_000);

  const register = async (payload: object): Promise<ImageOfOrganization> =>
    (await cloud.request<{ image: ImageOfOrganization }>('POST', 'images', { region_name: 'default-1', ...payload })).image;

  const reaches = ({ id }: ImageOfOrganization, status: string): Promise<ImageOfOrganization> =>
    eventually(async () => {
      const { image } = await cloud.request<{ image: ImageOfOrganization }>('GET', `images/${id}`);
      expect(image).toMatchObject({ status });
      return image;
    }, 60_000);

  const boot = (name: string, image: ImageOfOrganization): Promise<InstanceFields> => cloud.boot(name, { image_name: image.name });

  async function remove(vm: InstanceFields): Promise<void> {
    await cloud.request('DELETE', `virtual-machines/${vm.id}`);
    await cloud.vmGoes(vm.id);
  }

  const domainOf = async (vm: InstanceFields): Promise<string> =>
    (await run('virsh', ['-c', 'qemu:///system', 'dumpxml', vm.uuid!])).stdout;

  const cached = (): Promise<string[]> => readdir(join(cloud.node.stateFolder, 'images'));

  it('are registered by URL and checksum, and boot by themselves', async () => {
    server.files.set('/disk.qcow2', disk);
    ofUrl = await register({ name: 'of-url', format: 'qcow2', url: server.url('/disk.qcow2'), checksum: sha256(disk) });
    await reaches(ofUrl, 'available');
    expect(await cached()).toEqual([sha256(disk)]);
    first = await boot('of-url', ofUrl);
    expect(await pageOf(first)).toContain('of-url');
    expect(await domainOf(first)).not.toContain('<kernel>');
  }, 4 * BOOT_MS);

  it('that have another checksum end in error, and leave no file', async () => {
    const altered = Buffer.from(disk);
    altered[altered.length - 1]! ^= 1;
    server.files.set('/altered.qcow2', altered);
    const image = await register({ name: 'altered', format: 'qcow2', url: server.url('/altered.qcow2'), checksum: sha256(disk) });
    expect(await reaches(image, 'error')).toMatchObject({ problem: expect.stringContaining(`${sha256(disk)} was expected`) });
    expect(await cached()).toEqual([sha256(disk)]);
    await cloud.request('DELETE', `images/${image.id}`);
  }, 90_000);

  it('are uploaded, also as raw disks, and boot by themselves', async () => {
    ofUpload = await register({ name: 'of-upload', format: 'raw' });
    await cloud.request('PUT', `images/${ofUpload.id}/file`, rawDisk);
    await reaches(ofUpload, 'available');
    second = await boot('of-upload', ofUpload);
    expect(await pageOf(second)).toContain('of-upload');
    expect(await domainOf(second)).not.toContain('<kernel>');
    expect((await cached()).sort()).toEqual([sha256(disk), sha256(rawDisk)].sort());
  }, 4 * BOOT_MS);

  it('go from the cache of their node when they were not used for long, unless a disk stands on them', async () => {
    await remove(first);
    await cloud.request('DELETE', `images/${ofUrl.id}`);
    const longAgo = new Date(Date.now() - TWO_WEEKS_MS);
    for (const file of await cached()) await utimes(join(cloud.node.stateFolder, 'images', file), longAgo, longAgo);
    const restartedAt = new Date();
    await cloud.worker.restart();
    await cloud.nodeBeats(restartedAt);
    await eventually(async () => expect(await cached()).toEqual([sha256(rawDisk)]), 30_000);
    expect(await pageOf(second)).toContain('of-upload');
  }, 2 * BOOT_MS);

  it('leave nothing when they and their VMs are deleted', async () => {
    await remove(second);
    await cloud.request('DELETE', `images/${ofUpload.id}`);
    const uploads = join(cloud.imageStore, 'uploads');
    // What was deleted just now is left alone for a while.
    const longAgo = new Date(Date.now() - TWO_WEEKS_MS);
    await cloud.database.query('UPDATE image SET deleted_at = $2 WHERE id = $1', [ofUpload.id, longAgo]);
    for (const file of await readdir(uploads)) await utimes(join(uploads, file), longAgo, longAgo);
    await eventually(async () => expect(await readdir(uploads)).toEqual([]), 90_000);
    expect(await readdir(join(cloud.node.stateFolder, 'instances'))).toEqual([]);
    for (const vm of [first, second]) expect(await cloud.node.traces({ ...vm, floating_ip: 'none' })).toEqual([]);
    await eventually(async () => expect(await fsck(cloud.database)).toEqual([]));
  }, 180_000);
});
