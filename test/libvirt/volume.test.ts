/**
 * Volumes with a real guest: given to it while it runs, seen by it, kept through a stop, and taken away again.
 *
 * Drives the built product in dist/, because libvirt's thread is a file of its own there. Everything bears names of its
 * own, and nothing is left of it.
 */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { chmod, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pino from 'pino';
import type { DomainIdentity } from '../../src/compute/hypervisor/hypervisor.js';
import type { LibvirtDaemons } from '../../src/compute/hypervisor/libvirt/daemons.js';
import type { LibvirtHypervisor } from '../../src/compute/hypervisor/libvirt/libvirt-hypervisor.js';
import type { IncarnationId, VmUuid, VolumeUuid } from '../../src/protocol/ids.js';
import { DEFAULT_RULES } from '../../src/protocol/security-rule.js';
import type { VmSpec } from '../../src/protocol/task.js';
import { eventually } from './eventually.js';
import { guestImage } from './guest-image.js';
import { GuestServices } from './guest-services.js';
import { METADATA_ADDRESS, nodeNetwork, place } from './test-network.js';

const run = promisify(execFile);
const root = resolve(import.meta.dirname, '../..');
const built = <T>(file: string) => import(join(root, 'dist/compute/hypervisor/libvirt', file)) as Promise<T>;

const NODE = `vol-${process.pid}`;
const PORT = 8776;
const NETWORK = nodeNetwork(NODE, PORT);
const BOOT_MS = 90_000;
const DEFINE_MS = 120_000;
const GIB_IN_SECTORS = 2 ** 21;

const vm: DomainIdentity = { vmUuid: randomUUID() as VmUuid, incarnationId: 7 as IncarnationId };
const volume = { uuid: randomUUID() as VolumeUuid, sizeGib: 3 };
const second = { uuid: randomUUID() as VolumeUuid, sizeGib: 1 };
const serial = volume.uuid.slice(0, 20);

interface GuestImage {
  kernelArguments: string;
  files: Record<'disk' | 'kernel' | 'initrd', { file: string; sha256: string }>;
}

let daemons: LibvirtDaemons;
let folder: string;
let hypervisor: LibvirtHypervisor;
let services: GuestServices;
let spec: VmSpec;
const { address: fixedIp } = place(2);

/** What the guest says of its disks beside the first: `vdb sectors=… serial=…`. */
async function disksOfGuest(): Promise<string[]> {
  const status = await (await fetch(`http://${fixedIp}/`, { signal: AbortSignal.timeout(20_000) })).text();
  return [...status.matchAll(/^disk=(vd[b-z] .*)$/gm)].map(([, disk]) => disk!);
}

const guestShows = (...disks: string[]): Promise<unknown> =>
  eventually(
    `the guest has the disks ${disks.join(', ') || 'of its own alone'}`,
    async () => JSON.stringify(await disksOfGuest()) === JSON.stringify(disks),
    BOOT_MS,
  );

const volumeFiles = (): Promise<string[]> => readdir(join(folder, 'data/volumes'));

describe('volumes of a real guest', () => {
  beforeAll(async () => {
    folder = await mkdtemp('/var/lib/baton-volumes-');
    await chmod(folder, 0o755);
    const imageFolder = await guestImage();
    const image = JSON.parse(await readFile(join(imageFolder, 'image.json'), 'utf8')) as GuestImage;
    const file = (name: keyof GuestImage['files']) => ({ url: `/images/${image.files[name].file}`, sha256: image.files[name].sha256 });
    const { kernelArguments } = image;
    spec = {
      name: 'storage otter',
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
    const { LibvirtHypervisor: Adapter } =
      await built<typeof import('../../src/compute/hypervisor/libvirt/libvirt-hypervisor.js')>('libvirt-hypervisor.js');
    hypervisor = new Adapter({
      node: NODE,
      dataFolder: join(folder, 'data'),
      network: NETWORK,
      conductorUrl: `http://${METADATA_ADDRESS}:${PORT}`,
      conductorHeaders: () => ({}),
      acceleration: 'tcg',
      shutdownTimeoutMs: 20_000,
      log: pino({ level: process.env.LOG_LEVEL ?? 'silent' }),
    });
    await hypervisor.open();
    services = new GuestServices(imageFolder, 'storage-otter', '');
    await services.listen(METADATA_ADDRESS, PORT);
    await hypervisor.define(vm, spec, 'token-one');
    await hypervisor.start(vm);
    await guestShows();
  }, DEFINE_MS + BOOT_MS);

  afterAll(async () => {
    await services?.close();
    if (hypervisor) {
      await hypervisor.remove(vm);
      await hypervisor.network.destroy();
      await hypervisor.close();
    }
    await daemons?.stop();
    if (folder) await rm(folder, { recursive: true, force: true });
  }, 60_000);

  it('appear in a running guest under the serial number that clients look for', async () => {
    await hypervisor.setVolumes(vm, [volume]);
    await guestShows(`vdb sectors=${3 * GIB_IN_SECTORS} serial=${serial}`);
    expect(await volumeFiles()).toEqual([`${volume.uuid}.qcow2`]);
  }, BOOT_MS);

  it('are set once, however often it is asked for, and more can follow', async () => {
    await hypervisor.setVolumes(vm, [volume]);
    await hypervisor.setVolumes(vm, [volume, second]);
    await guestShows(
      `vdb sectors=${3 * GIB_IN_SECTORS} serial=${serial}`,
      `vdc sectors=${GIB_IN_SECTORS} serial=${second.uuid.slice(0, 20)}`,
    );
    await expect(hypervisor.removeVolume(volume.uuid)).rejects.toThrow('in use');
  }, BOOT_MS);

  it('leave a running guest, and keep their file', async () => {
    await hypervisor.setVolumes(vm, [volume]);
    await guestShows(`vdb sectors=${3 * GIB_IN_SECTORS} serial=${serial}`);
    expect(await volumeFiles()).toHaveLength(2);
    await hypervisor.removeVolume(second.uuid);
    expect(await volumeFiles()).toEqual([`${volume.uuid}.qcow2`]);
  }, BOOT_MS);

  it('whose file somebody has removed are not replaced by empty ones', async () => {
    await expect(hypervisor.setVolumes(vm, [volume, { ...second, isMade: true }])).rejects.toThrow(
      `The file of the volume ${second.uuid} is missing on its node. It was not replaced by an empty one.`,
    );
    expect(await volumeFiles()).toEqual([`${volume.uuid}.qcow2`]);
  }, BOOT_MS);

  it('are there again after the VM was stopped, defined anew and started', async () => {
    await hypervisor.stop(vm);
    await hypervisor.define(vm, spec, 'token-two');
    await hypervisor.setVolumes(vm, [volume]);
    await hypervisor.start(vm);
    await guestShows(`vdb sectors=${3 * GIB_IN_SECTORS} serial=${serial}`);
  }, DEFINE_MS + BOOT_MS);

  it('are all taken away, and outlive the VM', async () => {
    await hypervisor.setVolumes(vm, []);
    await guestShows();
    const { stdout } = await run('virsh', ['-c', 'qemu:///system', 'dumpxml', vm.vmUuid, '--inactive']);
    expect(stdout).not.toContain(volume.uuid);
    await hypervisor.remove(vm);
    expect(await volumeFiles()).toEqual([`${volume.uuid}.qcow2`]);
    await hypervisor.removeVolume(volume.uuid);
    await hypervisor.removeVolume(volume.uuid);
    expect(await volumeFiles()).toEqual([]);
  }, BOOT_MS);
});
