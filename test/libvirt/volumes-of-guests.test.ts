/**
 * Volumes with real guests, through the API: formatted and written by one guest, grown under it, read by another; and a
 * root disk that outlives its VM and boots the next one. The guest's user data brings a page that acts on its disks.
 */
import 'reflect-metadata';
import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { fsck } from '../../src/conductor/admin/fsck.js';
import type { InstanceFields } from '../../src/conductor/virtual-machines/vm.responses.js';
import type { VolumeFields } from '../../src/conductor/volumes/volume.responses.js';
import { eventually } from '../support/eventually.js';
import { BOOT_MS, pageOf, RealCloud } from './real-cloud.js';

const run = promisify(execFile);

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
  let cloud: RealCloud;
  let first: InstanceFields;
  let second: InstanceFields;
  let root: VolumeFields;
  let data: VolumeFields;

  beforeAll(async () => {
    cloud = await RealCloud.start({ name: 'guest-volumes' });
  }, 240_000);

  afterAll(async () => {
    await cloud?.stop();
  }, 60_000);

  const shown = async ({ id }: { id: number }): Promise<VolumeFields> => (await cloud.request<{ volume: VolumeFields }>('GET', `volumes/${id}`)).volume;

  const reaches = (volume: { id: number }, status: string): Promise<VolumeFields> =>
    eventually(async () => {
      const now = await shown(volume);
      expect({ status: now.status, fault: now.fault }).toEqual({ status, fault: null });
      return now;
    }, BOOT_MS);

  const boot = (name: string, change: object): Promise<InstanceFields> => cloud.boot(name, { user_data: DISK_PAGE, ...change });

  const serialOf = (volume: VolumeFields): string => volume.attachments.at(-1)!.device.replace('/dev/disk/by-id/virtio-', '');

  const act = async (vm: InstanceFields, action: string, volume: VolumeFields): Promise<string> =>
    (await pageOf(vm, `/cgi-bin/volume?${action}:${serialOf(volume)}`)).trim();

  const guestHas = (vm: InstanceFields, name: string, gib: number, volume: VolumeFields): Promise<void> =>
    eventually(
      async () => expect(await pageOf(vm)).toContain(`disk=${name} sectors=${gib * GIB_IN_SECTORS} serial=${serialOf(volume)}\n`),
      BOOT_MS,
    );

  const files = async (): Promise<string[]> => (await readdir(join(cloud.node.stateFolder, 'volumes'))).sort();

  it('are made of an image by their node', async () => {
    const { images } = await cloud.request<{ images: { images: { id: number; name: string }[] }[] }>('GET', 'images');
    const { volume } = await cloud.request<{ volume: VolumeFields }>('POST', 'volumes', {
      name: 'golden',
      environment_name: 'demo',
      size: 2,
      volume_type: 'Cloud-SSD',
      image_id: images.flatMap((group) => group.images).find(({ name }) => name === IMAGE)!.id,
    });
    expect(volume).toMatchObject({ status: 'downloading', bootable: true, os_image: IMAGE });
    await reaches(volume, 'available');
    const [file] = await files();
    const { stdout } = await run('qemu-img', ['info', '--output=json', join(cloud.node.stateFolder, 'volumes', file!)]);
    const facts = JSON.parse(stdout) as Record<string, unknown>;
    expect(facts).toMatchObject({ format: 'qcow2', 'virtual-size': 2 * 2 ** 30 });
    expect(facts).not.toHaveProperty('backing-filename');
    await cloud.request('DELETE', `volumes/${volume.id}`);
    await eventually(async () => expect(await files()).toEqual([]), 30_000);
  }, BOOT_MS);

  it('can be the root disk of a VM', async () => {
    first = await boot('first-guest', { create_bootable_volume: true });
    root = await reaches(first.volume_attachments[0]!.volume, 'in-use');
    expect(root).toMatchObject({ bootable: true, size: 1 });
    expect(serialOf(root)).toHaveLength(SERIAL_LENGTH);
    await guestHas(first, 'vda', 1, root);
    expect(await pageOf(first)).toContain('boots=1\n');
  }, 2 * BOOT_MS);

  it('are formatted and written by the guest that they are attached to', async () => {
    ({ volume: data } = await cloud.request<{ volume: VolumeFields }>('POST', 'volumes', {
      name: 'data',
      environment_name: 'demo',
      size: 1,
      volume_type: 'Cloud-SSD',
    }));
    await cloud.request('POST', `virtual-machines/demo/${first.name}/attach-volumes`, { volume_ids: [data.id] });
    data = await reaches(data, 'in-use');
    await guestHas(first, 'vdb', 1, data);
    expect(await act(first, 'format', data)).toBe('formatted');
    expect(await act(first, 'write', data)).toBe('written');
  }, BOOT_MS);

  it('grow under a running guest, which sees it at once', async () => {
    await cloud.request('PATCH', `volumes/${data.id}`, { size: 3 });
    await guestHas(first, 'vdb', 3, data);
    await cloud.request('PATCH', `volumes/${root.id}`, { size: 2 });
    await guestHas(first, 'vda', 2, root);
    expect(await cloud.shownVm(first.id)).toMatchObject({ status: 'ACTIVE', fault: null });
    expect(await act(first, 'read', data)).toBe('kept by first-guest');
  }, BOOT_MS);

  it('leave the guest when they are detached, and outlive its VM', async () => {
    await cloud.request('POST', `virtual-machines/${first.id}/detach-volumes`, { volume_ids: [data.id] });
    await reaches(data, 'available');
    expect(await pageOf(first)).not.toContain('disk=vdb');
    await cloud.request('DELETE', `virtual-machines/${first.id}`);
    await cloud.vmGoes(first.id);
    await reaches(root, 'available');
    expect(await files()).toHaveLength(2);
  }, BOOT_MS);

  it('boot another VM, which finds what the first one left', async () => {
    second = await boot('second-guest', { volume_name: root.name });
    root = await reaches(root, 'in-use');
    await guestHas(second, 'vda', 2, root);
    expect(await pageOf(second)).toContain('boots=2\n');
    expect(second.image).toEqual({ name: IMAGE });
    await cloud.request('POST', `virtual-machines/${second.id}/attach-volumes`, { volume_ids: [data.id] });
    data = await reaches(data, 'in-use');
    await guestHas(second, 'vdb', 3, data);
    expect(await act(second, 'read', data)).toBe('kept by first-guest');
  }, 2 * BOOT_MS);

  it('leave nothing when they are deleted', async () => {
    await cloud.request('DELETE', `virtual-machines/${second.id}`);
    await cloud.vmGoes(second.id);
    for (const volume of [root, data]) {
      await reaches(volume, 'available');
      await cloud.request('DELETE', `volumes/${volume.id}`);
    }
    await eventually(async () => expect(await files()).toEqual([]), 30_000);
    expect(await readdir(join(cloud.node.stateFolder, 'instances'))).toEqual([]);
    await eventually(async () => expect(await fsck(cloud.database)).toEqual([]));
    const [{ used }] = await cloud.database.query('SELECT disk_gib_used AS used FROM compute_node');
    expect(used).toBe(0);
  }, BOOT_MS);
});
