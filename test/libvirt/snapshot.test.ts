/**
 * Snapshots of a real guest: taken while it runs and writes, and while it is off; another guest boots from them and
 * finds what the first one wrote; and the base image that both share stays as it was to the last byte.
 *
 * Drives the built product in dist/, because libvirt's thread is a file of its own there. Everything bears names of its
 * own, and nothing is left of it.
 */
import { execFile } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pino from 'pino';
import type { DomainIdentity } from '../../src/compute/hypervisor/hypervisor.js';
import type { LibvirtDaemons } from '../../src/compute/hypervisor/libvirt/daemons.js';
import type { LibvirtHypervisor } from '../../src/compute/hypervisor/libvirt/libvirt-hypervisor.js';
import type { IncarnationId, SnapshotUuid, VmUuid } from '../../src/protocol/ids.js';
import { DEFAULT_RULES } from '../../src/protocol/security-rule.js';
import type { VmSpec } from '../../src/protocol/task.js';
import { eventually } from './eventually.js';
import { guestImage } from './guest-image.js';
import { GuestServices } from './guest-services.js';
import { METADATA_ADDRESS, nodeNetwork, place } from './test-network.js';

const run = promisify(execFile);
const root = resolve(import.meta.dirname, '../..');
const built = <T>(file: string) => import(join(root, 'dist/compute/hypervisor/libvirt', file)) as Promise<T>;

const NODE = `snap-${process.pid}`;
const PORT = 8777;
const BOOT_MS = 120_000;
const DEFINE_MS = 120_000;

/** The first boot of a disk writes whose it was, and every boot shows it; then the guest goes on writing. */
const USER_DATA = `#!/bin/sh
[ -e /persist/owner ] || cat /sys/class/dmi/id/product_uuid >/persist/owner
sync
cp /persist/owner /persist/boots /www/
while :; do cat /proc/uptime >/persist/tick; sync; usleep 200000; done &
`;

const identity = (): DomainIdentity => ({ vmUuid: randomUUID() as VmUuid, incarnationId: 7 as IncarnationId });
const original = identity();
const restored = identity();
const again = identity();
const live = randomUUID() as SnapshotUuid;
const cold = randomUUID() as SnapshotUuid;

interface GuestImage {
  kernelArguments: string;
  files: Record<'disk' | 'kernel' | 'initrd', { file: string; sha256: string }>;
}

let daemons: LibvirtDaemons;
let folder: string;
let hypervisor: LibvirtHypervisor;
let services: GuestServices;
let spec: VmSpec;
let base: string;
const { address: fixedIp } = place(2);

const open = async (): Promise<void> => {
  const { LibvirtHypervisor: Adapter } =
    await built<typeof import('../../src/compute/hypervisor/libvirt/libvirt-hypervisor.js')>('libvirt-hypervisor.js');
  hypervisor = new Adapter({
    node: NODE,
    dataFolder: join(folder, 'data'),
    network: nodeNetwork(NODE, PORT),
    conductorUrl: `http://${METADATA_ADDRESS}:${PORT}`,
    conductorHeaders: () => ({}),
    acceleration: 'tcg',
    shutdownTimeoutMs: 20_000,
    log: pino({ level: process.env.LOG_LEVEL ?? 'silent' }),
  });
  await hypervisor.open();
};

const boot = async (vm: DomainIdentity, of: VmSpec): Promise<string> => {
  await hypervisor.define(vm, of, 'a-token');
  await hypervisor.start(vm);
  return of.network.address;
};

const page = async (address: string, path: string): Promise<string> => {
  const answer = await fetch(`http://${address}${path}`, { signal: AbortSignal.timeout(20_000) });
  return answer.ok ? (await answer.text()).trim() : '';
};

/** Whose disk it was when it first booted. */
const ownerOf = (address: string): Promise<string> => eventually(`${address} says whose disk it has`, async () => (await page(address, '/owner')) || undefined, BOOT_MS);

const bootsOf = (address: string): Promise<string> =>
  eventually(`${address} says how often it booted`, async () => (await page(address, '/boots')) || undefined, BOOT_MS);

const madeOf = (snapshot: SnapshotUuid, number: number): VmSpec => ({ ...spec, network: place(number), image: { ...spec.image, disk: { snapshot, format: 'qcow2' } } });

const files = (what: string): Promise<string[]> => readdir(join(folder, 'data', what));

const checksumOf = async (file: string): Promise<string> => createHash('sha256').update(await readFile(file)).digest('hex');

const fileOf = (uuid: SnapshotUuid): string => join(folder, 'data/snapshots', `${uuid}.qcow2`);

const virsh = (...args: string[]) => run('virsh', ['-c', 'qemu:///system', ...args]);

/** A backup job that does not end by itself: one that waits to be read from. */
async function beginForeignJob(scratch: string): Promise<void> {
  const document = join(folder, 'backup.xml');
  await writeFile(
    document,
    `<domainbackup mode='pull'><server transport='unix' socket='${join(folder, 'sockets', randomUUID())}'/>
       <disks><disk name='vda' backup='yes' type='file'><scratch file='${scratch}'/></disk></disks></domainbackup>`,
  );
  await virsh('backup-begin', original.vmUuid, document);
}

async function facts(file: string): Promise<Record<string, unknown>> {
  return JSON.parse((await run('qemu-img', ['info', '-U', '-f', 'qcow2', '--output=json', file])).stdout) as Record<string, unknown>;
}

describe('snapshots of a real guest', () => {
  beforeAll(async () => {
    folder = await mkdtemp('/var/lib/baton-snapshots-');
    await chmod(folder, 0o755);
    // QEMU's user makes one there.
    await mkdir(join(folder, 'sockets'));
    await chmod(join(folder, 'sockets'), 0o777);
    const imageFolder = await guestImage();
    const image = JSON.parse(await readFile(join(imageFolder, 'image.json'), 'utf8')) as GuestImage;
    const file = (name: keyof GuestImage['files']) => ({ url: `/images/${image.files[name].file}`, sha256: image.files[name].sha256 });
    const { kernelArguments } = image;
    base = join(folder, 'data/images', image.files.disk.sha256);
    spec = {
      name: 'photogenic otter',
      power: 'running',
      vcpus: 1,
      memoryMib: 160,
      diskGib: 1,
      network: place(2),
      image: { name: 'tiny', disk: { ...file('disk'), format: 'qcow2' }, kernel: file('kernel'), initrd: file('initrd'), kernelArguments },
      rules: [
        ...DEFAULT_RULES,
        { direction: 'ingress', ethertype: 'IPv4', protocol: 'tcp', remoteIpPrefix: '0.0.0.0/0', portMin: 80, portMax: 80 },
      ],
    };
    const { ensureLibvirtDaemons } = await built<typeof import('../../src/compute/hypervisor/libvirt/daemons.js')>('daemons.js');
    daemons = await ensureLibvirtDaemons();
    await open();
    services = new GuestServices(imageFolder, 'photogenic-otter', USER_DATA);
    await services.listen(METADATA_ADDRESS, PORT);
    await boot(original, spec);
    expect(await ownerOf(fixedIp)).toBe(original.vmUuid);
  }, DEFINE_MS + BOOT_MS);

  afterAll(async () => {
    await services?.close();
    if (hypervisor) {
      for (const vm of [original, restored, again]) await hypervisor.remove(vm);
      await hypervisor.network.destroy();
      await hypervisor.close();
    }
    await daemons?.stop();
    if (folder) await rm(folder, { recursive: true, force: true });
  }, 60_000);

  it('are taken while it runs and writes, are alone in their file, and leave the base as it was', async () => {
    const before = await checksumOf(base);
    const { sizeBytes } = await hypervisor.takeSnapshot(original, live);
    expect(sizeBytes).toBeGreaterThan(100_000);
    expect(await hypervisor.snapshots()).toEqual([live]);
    expect(await files('snapshots')).toEqual([`${live}.qcow2`]);
    const { 'backing-filename': backing, 'virtual-size': size } = await facts(fileOf(live));
    expect({ backing, size }).toEqual({ backing: undefined, size: 2 ** 30 });
    const { mode, uid } = await stat(fileOf(live));
    expect({ mode: mode & 0o777, uid }).toEqual({ mode: 0o440, uid: 0 });
    expect(await hypervisor.state(original)).toBe('running');
    expect(await bootsOf(fixedIp)).toBe('1');
    expect(await checksumOf(base)).toBe(before);
    // The chain of the running disk is what it was.
    expect(await facts(join(folder, `data/instances/${original.vmUuid}.7/disk.qcow2`))).toMatchObject({ 'backing-filename': base });
  }, BOOT_MS);

  it('are taken once, however often they are asked for', async () => {
    const { ino, mtimeMs } = await stat(fileOf(live));
    await hypervisor.takeSnapshot(original, live);
    expect(await stat(fileOf(live))).toMatchObject({ ino, mtimeMs });
  });

  it('are begun anew where a worker died in the middle, its job and its half copy dropped', async () => {
    const uuid = randomUUID() as SnapshotUuid;
    await writeFile(`${fileOf(uuid)}.partial`, 'half');
    await beginForeignJob(join(folder, 'data/snapshots', `${randomUUID()}.qcow2.partial`));
    await hypervisor.takeSnapshot(original, uuid);
    expect(await hypervisor.snapshots()).toContain(uuid);
    await hypervisor.removeSnapshot(uuid);
    await hypervisor.close();
    await open();
    expect(await files('snapshots')).toEqual([`${live}.qcow2`]);
    expect(await hypervisor.state(original)).toBe('running');
  }, BOOT_MS);

  it('are not taken while somebody else makes a backup, which is left alone', async () => {
    await beginForeignJob(join(folder, 'of-somebody-else'));
    await expect(hypervisor.takeSnapshot(original, randomUUID() as SnapshotUuid)).rejects.toThrow('Somebody is making a backup');
    await virsh('domjobabort', original.vmUuid);
    expect(await files('snapshots')).toEqual([`${live}.qcow2`]);
  }, BOOT_MS);

  it('make another guest that has what was on the disk', async () => {
    const address = await boot(restored, madeOf(live, 3));
    expect(await ownerOf(address)).toBe(original.vmUuid);
    expect(await bootsOf(address)).toBe('2');
    // It writes to a disk of its own.
    expect((await facts(fileOf(live)))['backing-filename']).toBeUndefined();
  }, DEFINE_MS + BOOT_MS);

  it('are taken of a guest that is off', async () => {
    await hypervisor.stop(original);
    await hypervisor.takeSnapshot(original, cold);
    const { 'backing-filename': backing, 'virtual-size': size } = await facts(fileOf(cold));
    expect({ backing, size }).toEqual({ backing: undefined, size: 2 ** 30 });
    await hypervisor.stop(restored);
    const address = await boot(again, madeOf(cold, 4));
    expect(await ownerOf(address)).toBe(original.vmUuid);
  }, DEFINE_MS + BOOT_MS);

  it('may be removed while guests that were made of them live, and these start again', async () => {
    await hypervisor.stop(again);
    await hypervisor.removeSnapshot(live);
    await hypervisor.removeSnapshot(live);
    expect(await hypervisor.snapshots()).toEqual([cold]);
    const address = await boot(restored, madeOf(live, 3));
    expect(await ownerOf(address)).toBe(original.vmUuid);
    await expect(hypervisor.define(identity(), madeOf(live, 5), 'a-token')).rejects.toThrow('not on this compute node');
  }, DEFINE_MS + BOOT_MS);

  it('leave nothing when they and all that was made of them are gone', async () => {
    const before = await checksumOf(base);
    for (const vm of [original, restored, again]) await hypervisor.remove(vm);
    await hypervisor.removeSnapshot(cold);
    expect(await files('snapshots')).toEqual([]);
    expect((await files('instances')).filter((name) => [original, restored, again].some(({ vmUuid }) => name.startsWith(vmUuid)))).toEqual([]);
    expect(before).toBe(base.slice(-64));
  }, BOOT_MS);
});
