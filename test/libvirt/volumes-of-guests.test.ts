/**
 * Volumes with real guests, through the API: formatted and written by one guest, grown under it, read by another; and a
 * root disk that outlives its VM and boots the next one. The guest's user data brings a page that acts on its disks.
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
import type { VolumeFields } from '../../src/conductor/volumes/volume.responses.js';
import { startComputeProcess, startConductorProcess, type ConductorProcess, type RoleProcess } from '../support/baton-processes.js';
import { eventually } from '../support/eventually.js';
import { freshDatabase, sharedRabbitMq } from '../support/servers.js';
import { guestImage } from './guest-image.js';
import { LibvirtNode } from './libvirt-node.js';

const run = promisify(execFile);

const API_KEY = 'baton_key_of_the_test_organization';
const BOOT_MS = 150_000;
const GIB_IN_SECTORS = 2 ** 21;
const SERIAL_LENGTH = 20;
const IMAGE = 'Baton Tiny Linux';

/** `…/cgi-bin/volume?format:SERIAL`, `write:SERIAL`, `read:SERIAL`: what a person would do by ssh. */
const DISK_PAGE = `#!/bin/sh
cat >/www/cgi-bin/volume <<'PAGE'
#!/bin/sh
printf 'Content-Type: text/plain\\r\\n\\r\\n'
for disk in /sys/block/vd*; do
  [ "$(cat "$disk/serial")" = "\${QUERY_STRING#*:}" ] && device=/dev/\${disk##*/}
done
mkdir -p /mnt/volume
case "\${QUERY_STRING%%:*}" in
  format) mke2fs -L data "$device" >/dev/null 2>&1 && echo formatted ;;
  write) mount -t ext4 "$device" /mnt/volume && echo "kept by $(hostname)" >/mnt/volume/note && sync && umount /mnt/volume && echo written ;;
  read) mount -t ext4 "$device" /mnt/volume && cat /mnt/volume/note && umount /mnt/volume ;;
esac
exit 0
PAGE
chmod 755 /www/cgi-bin/volume
`;

describe('volumes of real guests', () => {
  let folder: string;
  let database: DataSource;
  let node: LibvirtNode;
  let conductor: ConductorProcess;
  let worker: RoleProcess;
  let first: InstanceFields;
  let second: InstanceFields;
  let root: VolumeFields;
  let data: VolumeFields;

  beforeAll(async () => {
    // Not the private folder of other suites: QEMU's user must be able to reach its disks.
    folder = await mkdtemp(join(tmpdir(), 'baton-guest-volumes-'));
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
      const beats = await database.query(`SELECT FROM compute_node_heartbeat WHERE inventory_digest <> ''`);
      expect(beats).toHaveLength(1);
    }, 120_000);
  }, 240_000);

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

  const shownVm = async (id: number): Promise<InstanceFields> =>
    (await request<{ instance: InstanceFields }>('GET', `virtual-machines/${id}`)).instance;

  const shown = async ({ id }: { id: number }): Promise<VolumeFields> => (await request<{ volume: VolumeFields }>('GET', `volumes/${id}`)).volume;

  const reaches = (volume: { id: number }, status: string): Promise<VolumeFields> =>
    eventually(async () => {
      const now = await shown(volume);
      expect({ status: now.status, fault: now.fault }).toEqual({ status, fault: null });
      return now;
    }, BOOT_MS);

  async function boot(change: object): Promise<InstanceFields> {
    const { instances } = await request<{ instances: InstanceFields[] }>('POST', 'virtual-machines', {
      environment_name: 'demo',
      flavor_name: 'tiny-1',
      key_name: 'demo',
      user_data: DISK_PAGE,
      security_rules: [
        { direction: 'ingress', ethertype: 'IPv4', protocol: 'tcp', remote_ip_prefix: '0.0.0.0/0', port_range_min: 80, port_range_max: 80 },
      ],
      ...change,
    });
    return eventually(async () => {
      const vm = await shownVm(instances[0]!.id);
      expect({ status: vm.status, fault: vm.fault }).toEqual({ status: 'ACTIVE', fault: null });
      expect(vm.reachable_at).not.toBeNull();
      return vm;
    }, BOOT_MS);
  }

  async function page(vm: InstanceFields, path = '/'): Promise<string> {
    const answer = await fetch(`http://${vm.fixed_ip}${path}`, { signal: AbortSignal.timeout(30_000), headers: { connection: 'close' } });
    if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
    return await answer.text();
  }

  const serialOf = (volume: VolumeFields): string => volume.attachments.at(-1)!.device.replace('/dev/disk/by-id/virtio-', '');

  const act = async (vm: InstanceFields, action: string, volume: VolumeFields): Promise<string> =>
    (await page(vm, `/cgi-bin/volume?${action}:${serialOf(volume)}`)).trim();

  const guestHas = (vm: InstanceFields, name: string, gib: number, volume: VolumeFields): Promise<void> =>
    eventually(
      async () => expect(await page(vm)).toContain(`disk=${name} sectors=${gib * GIB_IN_SECTORS} serial=${serialOf(volume)}\n`),
      BOOT_MS,
    );

  const files = async (): Promise<string[]> => (await readdir(join(node.stateFolder, 'volumes'))).sort();

  it('are made of an image by their node', async () => {
    const { images } = await request<{ images: { images: { id: number; name: string }[] }[] }>('GET', 'images');
    const { volume } = await request<{ volume: VolumeFields }>('POST', 'volumes', {
      name: 'golden',
      environment_name: 'demo',
      size: 2,
      volume_type: 'Cloud-SSD',
      image_id: images.flatMap((group) => group.images).find(({ name }) => name === IMAGE)!.id,
    });
    expect(volume).toMatchObject({ status: 'downloading', bootable: true, os_image: IMAGE });
    await reaches(volume, 'available');
    const [file] = await files();
    const { stdout } = await run('qemu-img', ['info', '--output=json', join(node.stateFolder, 'volumes', file!)]);
    const facts = JSON.parse(stdout) as Record<string, unknown>;
    expect(facts).toMatchObject({ format: 'qcow2', 'virtual-size': 2 * 2 ** 30 });
    expect(facts).not.toHaveProperty('backing-filename');
    await request('DELETE', `volumes/${volume.id}`);
    await eventually(async () => expect(await files()).toEqual([]), 30_000);
  }, BOOT_MS);

  it('can be the root disk of a VM', async () => {
    first = await boot({ name: 'first-guest', image_name: IMAGE, create_bootable_volume: true });
    root = await reaches(first.volume_attachments[0]!.volume, 'in-use');
    expect(root).toMatchObject({ bootable: true, size: 1 });
    expect(serialOf(root)).toHaveLength(SERIAL_LENGTH);
    await guestHas(first, 'vda', 1, root);
    expect(await page(first)).toContain('boots=1\n');
  }, 2 * BOOT_MS);

  it('are formatted and written by the guest that they are attached to', async () => {
    ({ volume: data } = await request<{ volume: VolumeFields }>('POST', 'volumes', {
      name: 'data',
      environment_name: 'demo',
      size: 1,
      volume_type: 'Cloud-SSD',
    }));
    await request('POST', `virtual-machines/demo/${first.name}/attach-volumes`, { volume_ids: [data.id] });
    data = await reaches(data, 'in-use');
    await guestHas(first, 'vdb', 1, data);
    expect(await act(first, 'format', data)).toBe('formatted');
    expect(await act(first, 'write', data)).toBe('written');
  }, BOOT_MS);

  it('grow under a running guest, which sees it at once', async () => {
    await request('PATCH', `volumes/${data.id}`, { size: 3 });
    await guestHas(first, 'vdb', 3, data);
    await request('PATCH', `volumes/${root.id}`, { size: 2 });
    await guestHas(first, 'vda', 2, root);
    expect(await shownVm(first.id)).toMatchObject({ status: 'ACTIVE', fault: null });
    expect(await act(first, 'read', data)).toBe('kept by first-guest');
  }, BOOT_MS);

  it('leave the guest when they are detached, and outlive its VM', async () => {
    await request('POST', `virtual-machines/${first.id}/detach-volumes`, { volume_ids: [data.id] });
    await reaches(data, 'available');
    expect(await page(first)).not.toContain('disk=vdb');
    await request('DELETE', `virtual-machines/${first.id}`);
    await eventually(async () => await expect(shownVm(first.id)).rejects.toThrow('404'), 60_000);
    await reaches(root, 'available');
    expect(await files()).toHaveLength(2);
  }, BOOT_MS);

  it('boot another VM, which finds what the first one left', async () => {
    second = await boot({ name: 'second-guest', volume_name: root.name });
    root = await reaches(root, 'in-use');
    await guestHas(second, 'vda', 2, root);
    expect(await page(second)).toContain('boots=2\n');
    expect(second.image).toEqual({ name: IMAGE });
    await request('POST', `virtual-machines/${second.id}/attach-volumes`, { volume_ids: [data.id] });
    data = await reaches(data, 'in-use');
    await guestHas(second, 'vdb', 3, data);
    expect(await act(second, 'read', data)).toBe('kept by first-guest');
  }, 2 * BOOT_MS);

  it('leave nothing when they are deleted', async () => {
    await request('DELETE', `virtual-machines/${second.id}`);
    await eventually(async () => await expect(shownVm(second.id)).rejects.toThrow('404'), 60_000);
    for (const volume of [root, data]) {
      await reaches(volume, 'available');
      await request('DELETE', `volumes/${volume.id}`);
    }
    await eventually(async () => expect(await files()).toEqual([]), 30_000);
    expect(await readdir(join(node.stateFolder, 'instances'))).toEqual([]);
    await eventually(async () => expect(await fsck(database)).toEqual([]));
    const [{ used }] = await database.query('SELECT disk_gib_used AS used FROM compute_node');
    expect(used).toBe(0);
  }, BOOT_MS);
});
