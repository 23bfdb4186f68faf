/**
 * The libvirt adapter with a real guest: the tiny image, emulated, so that it runs on any Linux host with root.
 *
 * Drives the built product in dist/, because its connection thread is a file of its own. Starts libvirt's daemons
 * where none answers. Everything bears names of its own, and the last test looks that nothing is left of it.
 */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { connect } from 'node:net';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pino from 'pino';
import { hostEntries, networkName } from '../../src/compute/network/network-document.js';
import { bridgeOf } from '../../src/compute/network/subnet.js';
import type { DomainIdentity, PowerChange } from '../../src/compute/hypervisor/hypervisor.js';
import type { LibvirtDaemons } from '../../src/compute/hypervisor/libvirt/daemons.js';
import type { LibvirtHypervisor } from '../../src/compute/hypervisor/libvirt/libvirt-hypervisor.js';
import type { IncarnationId, VmUuid } from '../../src/protocol/ids.js';
import { DEFAULT_RULES } from '../../src/protocol/security-rule.js';
import type { VmSpec } from '../../src/protocol/task.js';
import { eventually } from './eventually.js';
import { guestImage } from './guest-image.js';
import { GuestServices } from './guest-services.js';
import { Outside } from './outside.js';
import { METADATA_ADDRESS, nodeNetwork, place, subnetOf } from './test-network.js';

const run = promisify(execFile);
const root = resolve(import.meta.dirname, '../..');
const built = <T>(file: string) => import(join(root, 'dist/compute/hypervisor/libvirt', file)) as Promise<T>;

const NODE = `e2e-${process.pid}`;
const PORT = 8775;
const NETWORK = nodeNetwork(NODE, PORT);
const { FLOATING_IP } = Outside;
/** Knocks at the outside again and again. */
const KNOCK = `#!/bin/sh\n(while :; do timeout 3 wget -q -O /dev/null http://${Outside.ADDRESS}/; sleep 1; done) >/dev/null 2>&1 &\n`;
const HOSTNAME = 'quiet-otter';
const BOOT_MS = 120_000;
/** The first definition waits until libvirt has examined QEMU, which takes long on a busy host. */
const DEFINE_MS = 120_000;

const vm: DomainIdentity = { vmUuid: randomUUID() as VmUuid, incarnationId: 7 as IncarnationId };
const secondLife: DomainIdentity = { ...vm, incarnationId: 8 as IncarnationId };

interface GuestImage {
  kernelArguments: string;
  files: Record<'disk' | 'kernel' | 'initrd', { file: string; sha256: string }>;
}

/** A libvirtd that serves others too must not be restarted for a test. */
const itWithOwnLibvirtd = (await libvirtAnswers()) ? it.skip : it;

let daemons: LibvirtDaemons;
let restarted: LibvirtDaemons | undefined;
let outside: Outside;
let folder: string;
let hypervisor: LibvirtHypervisor;
let services: GuestServices;
let spec: VmSpec;
const { address: fixedIp } = place(2);
const BRIDGE = bridgeOf(subnetOf(0));
const powerChanges: PowerChange[] = [];

function libvirtAnswers(): Promise<boolean> {
  return new Promise((resolve) => {
    const attempt = connect('/run/libvirt/libvirt-sock');
    attempt.once('connect', () => resolve(true)).once('error', () => resolve(false));
    attempt.once('connect', () => attempt.destroy());
  });
}

const leases = async (): Promise<string> =>
  (await run('virsh', ['-c', 'qemu:///system', 'net-dhcp-leases', networkName(subnetOf(0))])).stdout;

const hostEntriesNow = async (): Promise<string[]> =>
  hostEntries((await run('virsh', ['-c', 'qemu:///system', 'net-dumpxml', networkName(subnetOf(0))])).stdout).map(({ address }) => address);

async function startDaemons(): Promise<LibvirtDaemons> {
  const module = await built<typeof import('../../src/compute/hypervisor/libvirt/daemons.js')>('daemons.js');
  return await module.ensureLibvirtDaemons();
}

async function openHypervisor(node = NODE, network = NETWORK): Promise<LibvirtHypervisor> {
  const module = await built<typeof import('../../src/compute/hypervisor/libvirt/libvirt-hypervisor.js')>(
    'libvirt-hypervisor.js',
  );
  const adapter = new module.LibvirtHypervisor({
    node,
    dataFolder: join(folder, node === NODE ? 'data' : node),
    network,
    conductorUrl: `http://${METADATA_ADDRESS}:${PORT}`,
    conductorHeaders: () => ({ 'x-node-key': 'secret' }),
    acceleration: 'tcg',
    shutdownTimeoutMs: 20_000,
    log: pino({ level: process.env.LOG_LEVEL ?? 'silent' }),
  });
  adapter.onPowerChange((change) => powerChanges.push(change));
  await adapter.open();
  return adapter;
}

const statusOf = async (address: string) =>
  (await fetch(`http://${address}/`, { signal: AbortSignal.timeout(15_000) })).text();
const bootOf = (address: string, boots: number) =>
  eventually(
    `boot ${boots} answers at ${address}`,
    async () => {
      const status = await statusOf(address);
      return status.includes(`boots=${boots}\n`) && status;
    },
    BOOT_MS,
  );

describe('the libvirt hypervisor with a real guest', () => {
  beforeAll(async () => {
    folder = await mkdtemp('/var/lib/baton-e2e-');
    await chmod(folder, 0o755);
    const imageFolder = await guestImage();
    const image = JSON.parse(await readFile(join(imageFolder, 'image.json'), 'utf8')) as GuestImage;
    const file = (name: keyof GuestImage['files']) => ({
      url: `/images/${image.files[name].file}`,
      sha256: image.files[name].sha256,
    });
    spec = {
      name: 'quiet </domain> ]]> otter',
      power: 'running',
      vcpus: 1,
      memoryMib: 160,
      diskGib: 1,
      network: place(2),
      image: {
        name: 'tiny',
        disk: { ...file('disk'), format: 'qcow2' },
        kernel: file('kernel'),
        initrd: file('initrd'),
        kernelArguments: image.kernelArguments,
      },
      floatingIp: FLOATING_IP,
      rules: [
        ...DEFAULT_RULES,
        { direction: 'ingress', ethertype: 'IPv4', protocol: 'tcp', remoteIpPrefix: '0.0.0.0/0', portMin: 80, portMax: 80 },
      ],
    };
    outside = await Outside.open();
    daemons = await startDaemons();
    hypervisor = await openHypervisor();
    services = new GuestServices(imageFolder, HOSTNAME, KNOCK);
    await services.listen(METADATA_ADDRESS, PORT);
  }, 120_000);

  afterAll(async () => {
    await services?.close();
    if (hypervisor) {
      await hypervisor.remove(vm);
      await hypervisor.remove(secondLife);
      await hypervisor.network.destroy();
      await hypervisor.close();
    }
    await restarted?.stop();
    await daemons?.stop();
    await outside?.close();
    if (folder) await rm(folder, { recursive: true, force: true });
    expect(existsSync(`/sys/class/net/${NETWORK.interface}`)).toBe(false);
  }, 60_000);

  it('defines a VM without starting it, with images that it fetched by the key of its node', async () => {
    await hypervisor.define(vm, spec, 'token-one');
    expect(await hypervisor.state(vm)).toBe('stopped');
    expect(await hypervisor.inventory()).toEqual([{ ...vm, state: 'stopped' }]);
    expect(services.asked('GET', '/images/vmlinuz')?.nodeKey).toBe('secret');
  }, DEFINE_MS);

  it('starts it, and the guest reads its metadata, answers with its host name and phones home', async () => {
    await hypervisor.start(vm);
    expect(await hypervisor.state(vm)).toBe('running');
    const status = await bootOf(fixedIp, 1);
    expect(await leases()).toContain(fixedIp);
    expect(status).toContain(`hostname=${HOSTNAME}`);
    expect(status).toContain(`ip=${fixedIp}/24`);
    expect(services.asked('GET', `/metadata/token-one/${vm.vmUuid}/meta-data`)).toBeDefined();
    const call = await eventually('phone-home', () => services.asked('POST', `/${vm.vmUuid}/phone-home`), BOOT_MS);
    expect(new URLSearchParams(call.body).get('instance_id')).toBe(vm.vmUuid);
    expect(new URLSearchParams(call.body).get('hostname')).toBe(HOSTNAME);
  }, BOOT_MS + DEFINE_MS);

  it('shares image files that QEMU cannot write to', async () => {
    const files = await readdir(join(folder, 'data/images'));
    expect(files).toHaveLength(3);
    for (const file of files) {
      const { uid, mode } = await stat(join(folder, 'data/images', file));
      expect({ file, uid, mode: (mode & 0o777).toString(8) }).toEqual({ file, uid: 0, mode: '444' });
    }
  });

  it('answers at its floating address, from outside and on the host, and to nobody who routes to its fixed one', async () => {
    await outside.routeTo(subnetOf(0));
    expect(await outside.get(FLOATING_IP, 15_000)).toContain(`hostname=${HOSTNAME}`);
    expect(await statusOf(FLOATING_IP)).toContain(`hostname=${HOSTNAME}`);
    await expect(outside.get(fixedIp, 2_000)).rejects.toThrow('no answer');
  }, 60_000);

  it('goes out as its floating address, and as the host once that is taken from it while it runs', async () => {
    await eventually('the guest comes as itself', () => outside.visitors.includes(FLOATING_IP), 10_000);
    expect(new Set(outside.visitors)).toEqual(new Set([FLOATING_IP]));
    await hypervisor.define(vm, { ...spec, floatingIp: undefined }, 'token-one');
    await eventually('the guest comes as the host', () => outside.visitors.at(-1) === Outside.HOST_ADDRESS, 10_000);
    await expect(outside.get(FLOATING_IP, 2_000)).rejects.toThrow();
    const { stdout } = await run('ip', ['-4', 'address', 'show', 'dev', NETWORK.interface]);
    expect(stdout).not.toContain(FLOATING_IP);
  }, 30_000);

  it('finds the VM again after the worker was restarted', async () => {
    await hypervisor.close();
    hypervisor = await openHypervisor();
    expect(await hypervisor.inventory()).toEqual([{ ...vm, state: 'running' }]);
    expect(powerChanges).toEqual([]);
  }, 20_000);

  it('shares libvirt with another node of the same process, and goes on when that leaves', async () => {
    const other = await openHypervisor(`${NODE}-2`, nodeNetwork(`${NODE}-2`, PORT + 1));
    expect(await other.inventory()).toEqual([]);
    await other.network.destroy();
    await other.close();
    expect(await hypervisor.inventory()).toEqual([{ ...vm, state: 'running' }]);
  }, 20_000);

  it('shares the network of an environment with another node of the same host, whoever comes and goes', async () => {
    const other = await openHypervisor(`${NODE}-2`, nodeNetwork(`${NODE}-2`, PORT + 1));
    const theirs: DomainIdentity = { vmUuid: randomUUID() as VmUuid, incarnationId: 9 as IncarnationId };
    await other.define(theirs, { ...spec, network: place(9), floatingIp: undefined }, 'token');
    expect(await hostEntriesNow()).toEqual([fixedIp, place(9).address]);
    expect(await statusOf(fixedIp)).toContain('boots=1\n');
    await other.remove(theirs);
    expect(await hostEntriesNow()).toEqual([fixedIp]);
    await other.network.destroy();
    await other.close();
    expect(await statusOf(fixedIp)).toContain('boots=1\n');
  }, DEFINE_MS);

  it('sweeps up, when it is opened, a network whose guests are gone, and leaves the one that is in use', async () => {
    await hypervisor.network.attach(place(77));
    await hypervisor.network.attach(place(2, 3));
    expect(existsSync(`/sys/class/net/${bridgeOf(subnetOf(3))}`)).toBe(true);
    await hypervisor.close();
    hypervisor = await openHypervisor();
    expect(existsSync(`/sys/class/net/${bridgeOf(subnetOf(3))}`)).toBe(false);
    expect(await hostEntriesNow()).toEqual([fixedIp]);
    expect(await statusOf(fixedIp)).toContain('boots=1\n');
  }, 40_000);

  it('stops it by the power button and tells nobody, because it was asked to', async () => {
    const startedAt = Date.now();
    await hypervisor.stop(vm);
    expect(Date.now() - startedAt).toBeLessThan(20_000);
    expect(await hypervisor.state(vm)).toBe('stopped');
    expect(powerChanges).toEqual([]);
  }, 40_000);

  it('keeps disk and address when it is defined again, and gives the guest the new token', async () => {
    await hypervisor.define(vm, spec, 'token-two');
    await hypervisor.start(vm);
    await bootOf(fixedIp, 2);
    expect(services.asked('GET', `/metadata/token-two/${vm.vmUuid}/meta-data`)).toBeDefined();
  }, BOOT_MS + DEFINE_MS);

  it('tells of a guest that went off by itself', async () => {
    await run('virsh', ['-c', 'qemu:///system', 'destroy', `baton-${vm.vmUuid}`]);
    const change = await eventually('power change', () => powerChanges.at(0), 10_000);
    expect(change).toEqual({ ...vm, state: 'stopped' });
  }, 20_000);

  itWithOwnLibvirtd('tells of a guest that went off while libvirtd was away', async () => {
    await hypervisor.start(vm);
    powerChanges.length = 0;
    const guest = Number(await readFile(`/run/libvirt/qemu/baton-${vm.vmUuid}.pid`, 'utf8'));
    const { pid: libvirtd } = daemons.started.find(({ program }) => program === 'libvirtd')!;
    process.kill(libvirtd, 'SIGTERM');
    await eventually('libvirtd ends', async () => !(await libvirtAnswers()), 20_000);
    await eventually('the adapter notices', () => hypervisor.inventory().then(() => false, () => true), 20_000);
    expect(existsSync(`/proc/${guest}`)).toBe(true);

    process.kill(guest, 'SIGKILL');
    restarted = await startDaemons();
    const change = await eventually('power change', () => powerChanges.at(0), 30_000);
    expect(change).toEqual({ ...vm, state: 'stopped' });
    expect(await hypervisor.inventory()).toEqual([{ ...vm, state: 'stopped' }]);
  }, 90_000);

  it('replaces a former life of the VM by the new one, whose disk is fresh', async () => {
    await hypervisor.define(secondLife, spec, 'token-three');
    expect(await hypervisor.state(vm)).toBeUndefined();
    expect(await hypervisor.inventory()).toEqual([{ ...secondLife, state: 'stopped' }]);
    await hypervisor.remove(vm);
    expect(await hypervisor.state(secondLife)).toBe('stopped');
  }, DEFINE_MS);

  it('has VMs that are defined at the same time on their networks, one of them new', async () => {
    const others = Array.from({ length: 4 }, (_, index) => ({
      vmUuid: randomUUID() as VmUuid,
      incarnationId: (100 + index) as IncarnationId,
    }));
    await Promise.all(
      others.map((other, index) => hypervisor.define(other, { ...spec, network: place(10 + index, index % 2), floatingIp: undefined }, 'token')),
    );
    expect((await hostEntriesNow()).sort()).toEqual([place(10).address, place(12).address, fixedIp].sort());
    expect(existsSync(`/sys/class/net/${bridgeOf(subnetOf(1))}`)).toBe(true);
    await Promise.all(others.map((other) => hypervisor.remove(other)));
    expect(await hypervisor.inventory()).toEqual([{ ...secondLife, state: 'stopped' }]);
    expect(existsSync(`/sys/class/net/${bridgeOf(subnetOf(1))}`)).toBe(false);
  }, DEFINE_MS);

  it('leaves nothing behind: no domain, no disk, no address, no rule', async () => {
    await hypervisor.remove(secondLife);
    await hypervisor.remove(secondLife);
    expect(await hypervisor.inventory()).toEqual([]);
    expect(await readdir(join(folder, 'data/instances'))).toEqual([]);
    const { stdout: networks } = await run('virsh', ['-c', 'qemu:///system', 'net-list', '--all', '--name']);
    expect(networks).not.toContain(networkName(subnetOf(0)));
    expect((await readdir('/var/lib/libvirt/dnsmasq')).filter((file) => file.includes(BRIDGE) || file.includes(networkName(subnetOf(0))))).toEqual([]);
    const { stdout: rules } = await run('nft', ['list', 'ruleset']);
    expect(rules).not.toContain(NETWORK.table);
    expect(existsSync(`/sys/class/net/${BRIDGE}`)).toBe(false);
  }, 30_000);
});
