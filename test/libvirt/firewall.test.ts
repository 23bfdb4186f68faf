/**
 * Security rules around a real guest: from the host, from outside, from a neighbour on its bridge, and out of it. The
 * guest runs through all of it; each rule comes and goes while it does.
 */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pino from 'pino';
import type { DomainIdentity } from '../../src/compute/hypervisor/hypervisor.js';
import type { LibvirtDaemons } from '../../src/compute/hypervisor/libvirt/daemons.js';
import type { LibvirtHypervisor } from '../../src/compute/hypervisor/libvirt/libvirt-hypervisor.js';
import type { IncarnationId, VmUuid } from '../../src/protocol/ids.js';
import { DEFAULT_RULES, type SecurityRuleSpec } from '../../src/protocol/security-rule.js';
import { bridgeOf } from '../../src/compute/network/subnet.js';
import type { VmSpec } from '../../src/protocol/task.js';
import { eventually } from './eventually.js';
import { guestImage } from './guest-image.js';
import { GuestServices } from './guest-services.js';
import { Neighbour } from './neighbour.js';
import { Outside } from './outside.js';
import { METADATA_ADDRESS, nodeNetwork, place, subnetOf } from './test-network.js';

const run = promisify(execFile);
const built = <T>(file: string) => import(join(process.cwd(), 'dist/compute/hypervisor/libvirt', file)) as Promise<T>;

const NODE = `fw-${process.pid}`;
const PORT = 8775;
const NETWORK = nodeNetwork(NODE, PORT);
const BOOT_MS = 90_000;
const KNOCK = `#!/bin/sh\n(while :; do timeout 3 wget -q -O /dev/null http://${Outside.ADDRESS}/; sleep 1; done) >/dev/null 2>&1 &\n`;

const [EGRESS] = DEFAULT_RULES as [SecurityRuleSpec, ...SecurityRuleSpec[]];
const HTTP: SecurityRuleSpec = { direction: 'ingress', ethertype: 'IPv4', protocol: 'tcp', remoteIpPrefix: '0.0.0.0/0', portMin: 80, portMax: 80 };
const from = (remoteIpPrefix: string): SecurityRuleSpec => ({ ...HTTP, remoteIpPrefix });

const vm: DomainIdentity = { vmUuid: randomUUID() as VmUuid, incarnationId: 7 as IncarnationId };
const otherVm: DomainIdentity = { vmUuid: randomUUID() as VmUuid, incarnationId: 8 as IncarnationId };
/** Of another environment. */
const strangerVm: DomainIdentity = { vmUuid: randomUUID() as VmUuid, incarnationId: 9 as IncarnationId };

interface GuestImage {
  kernelArguments: string;
  files: Record<'disk' | 'kernel' | 'initrd', { file: string; sha256: string }>;
}

let daemons: LibvirtDaemons;
let outside: Outside;
let neighbour: Neighbour;
let stranger: Neighbour;
let folder: string;
let hypervisor: LibvirtHypervisor;
let services: GuestServices;
let spec: VmSpec;
const { address: fixedIp, gateway } = place(2);
const { address: otherIp } = place(3);

/** Whether something at the address takes a connection from the host. */
const open = (host: string, port = 80): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 2_000 });
    const end = (answer: boolean) => (socket.destroy(), resolve(answer));
    socket.once('connect', () => end(true)).once('timeout', () => end(false)).once('error', () => end(false));
  });

const outsideReaches = (host: string): Promise<boolean> => outside.get(host, 2_000).then(() => true, () => false);

/** From the host, from a neighbour on the bridge, and from outside by the floating address. */
const reachable = async () => ({
  host: await open(fixedIp),
  neighbour: await neighbour.reaches(fixedIp, 80),
  outside: await outsideReaches(Outside.FLOATING_IP),
});

const put = (rules: readonly SecurityRuleSpec[], floatingIp: string | undefined = Outside.FLOATING_IP): Promise<void> =>
  hypervisor.changeNetwork(vm, { ...spec, floatingIp, rules: [...rules] });

async function makeGuest(): Promise<void> {
  await hypervisor.define(vm, spec, 'token');
  await hypervisor.start(vm);
  await eventually('phone-home', () => services.asked('POST', `/${vm.vmUuid}/phone-home`), BOOT_MS);
}

describe('the network of a real guest', () => {
  beforeAll(async () => {
    folder = await mkdtemp('/var/lib/baton-fw-');
    await chmod(folder, 0o755);
    const imageFolder = await guestImage();
    const image = JSON.parse(await readFile(join(imageFolder, 'image.json'), 'utf8')) as GuestImage;
    const file = (name: keyof GuestImage['files']) => ({ url: `/images/${image.files[name].file}`, sha256: image.files[name].sha256 });
    spec = {
      name: 'walled-otter',
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
      floatingIp: Outside.FLOATING_IP,
      rules: DEFAULT_RULES,
    };
    outside = await Outside.open();
    const { ensureLibvirtDaemons } = await built<typeof import('../../src/compute/hypervisor/libvirt/daemons.js')>('daemons.js');
    daemons = await ensureLibvirtDaemons();
    const module = await built<typeof import('../../src/compute/hypervisor/libvirt/libvirt-hypervisor.js')>('libvirt-hypervisor.js');
    hypervisor = new module.LibvirtHypervisor({
      node: NODE,
      dataFolder: join(folder, 'data'),
      network: NETWORK,
      conductorUrl: `http://${METADATA_ADDRESS}:${PORT}`,
      conductorHeaders: () => ({}),
      acceleration: 'tcg',
      log: pino({ level: process.env.LOG_LEVEL ?? 'silent' }),
    });
    await hypervisor.open();
    services = new GuestServices(imageFolder, 'walled-otter', KNOCK);
    await services.listen(METADATA_ADDRESS, PORT);
    await makeGuest();
    await hypervisor.define(otherVm, { ...spec, network: place(3), floatingIp: undefined }, 'other-token');
    neighbour = await Neighbour.on(bridgeOf(subnetOf(0)), otherVm.vmUuid, place(3));
    await hypervisor.define(strangerVm, { ...spec, network: place(2, 1), floatingIp: undefined, rules: [...DEFAULT_RULES, HTTP] }, 'third-token');
    stranger = await Neighbour.on(bridgeOf(subnetOf(1)), strangerVm.vmUuid, place(2, 1));
  }, 300_000);

  afterAll(async () => {
    await services?.close();
    await neighbour?.close();
    await stranger?.close();
    if (hypervisor) {
      await hypervisor.remove(vm);
      await hypervisor.remove(otherVm);
      await hypervisor.remove(strangerVm);
      await hypervisor.network.destroy();
      await hypervisor.close();
    }
    await daemons?.stop();
    await outside?.close();
    if (folder) await rm(folder, { recursive: true, force: true });
    for (const trace of [bridgeOf(subnetOf(0)), bridgeOf(subnetOf(1)), NETWORK.interface])
      expect(existsSync(`/sys/class/net/${trace}`)).toBe(false);
    for (const family of ['ip', 'bridge'])
      await expect(run('nft', ['list', 'table', family, NETWORK.table])).rejects.toThrow(/No such file or directory/);
  }, 60_000);

  it('lets nobody in by default, while its guest reads metadata and goes out', async () => {
    expect(services.asked('GET', `/${vm.vmUuid}/meta-data`)).toBeDefined();
    await eventually('the guest comes out', () => outside.visitors.includes(Outside.FLOATING_IP), 20_000);
    expect(await reachable()).toEqual({ host: false, neighbour: false, outside: false });
  }, 40_000);

  it('is opened by a rule to all, while the guest runs, and closed again', async () => {
    await put([...DEFAULT_RULES, HTTP]);
    expect(await reachable()).toEqual({ host: true, neighbour: true, outside: true });
    expect(await open(fixedIp, 22)).toBe(false);
    await put(DEFAULT_RULES);
    expect(await reachable()).toEqual({ host: false, neighbour: false, outside: false });
  }, 40_000);

  it('tells by the prefix who may come', async () => {
    await put([...DEFAULT_RULES, from(`${otherIp}/32`)]);
    expect(await reachable()).toEqual({ host: false, neighbour: true, outside: false });
    await put([...DEFAULT_RULES, from('198.51.100.64/28')]);
    expect(await reachable()).toEqual({ host: false, neighbour: false, outside: true });
    await put([...DEFAULT_RULES, from(`${gateway}/32`)]);
    expect(await reachable()).toEqual({ host: true, neighbour: false, outside: false });
  }, 60_000);

  it('ends a connection that the rule had let in, when the rule goes', async () => {
    await put([...DEFAULT_RULES, HTTP]);
    const socket = connect({ host: fixedIp, port: 80 });
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    await put(DEFAULT_RULES);
    const outcome = new Promise((resolve) => {
      socket.setTimeout(1_500, () => resolve('silence'));
      socket.once('data', () => resolve('an answer')).once('error', () => resolve('an error'));
    });
    socket.write('GET / HTTP/1.0\r\n\r\n');
    expect(await outcome).toBe('silence');
    socket.destroy();
  }, 20_000);

  it('keeps the guest in when nothing lets it out, and answers all the same', async () => {
    await put([HTTP]);
    const visits = outside.visitors.length;
    // It knocks every second, and one visit may have been under way: only a while of silence can show it.
    await delay(5_000);
    expect(outside.visitors.length - visits).toBeLessThanOrEqual(1);
    expect(await reachable()).toEqual({ host: true, neighbour: true, outside: true });
    await put([EGRESS, HTTP]);
    const before = outside.visitors.length;
    await eventually('the guest comes out again', () => outside.visitors.length > before, 20_000);
  }, 60_000);

  it('hears nothing from a neighbour that speaks with the address or the card of another', async () => {
    await put([...DEFAULT_RULES, HTTP]);
    await neighbour.changeAddress(place(200).address);
    expect(await neighbour.reaches(fixedIp, 80)).toBe(false);
    await neighbour.changeAddress(otherIp);
    expect(await neighbour.reaches(fixedIp, 80)).toBe(true);
    await neighbour.changeCard(place(200).mac);
    expect(await neighbour.reaches(fixedIp, 80)).toBe(false);
    await neighbour.changeCard(place(3).mac);
    expect(await neighbour.reaches(fixedIp, 80)).toBe(true);
  }, 40_000);

  it('cannot be reached from another environment, nor reach it, whatever the rules say; by its floating address it can', async () => {
    await put([...DEFAULT_RULES, HTTP]);
    expect(await neighbour.reaches(fixedIp, 80)).toBe(true);
    expect(await stranger.reaches(fixedIp, 80)).toBe(false);
    expect(await stranger.reaches(Outside.FLOATING_IP, 80)).toBe(true);
    // What it does reach: the outside, metadata, and its own gateway for names, but not the one of the other environment.
    expect(await stranger.reaches(Outside.ADDRESS, 80)).toBe(true);
    expect(await stranger.reaches(METADATA_ADDRESS, PORT)).toBe(true);
    expect(await stranger.reaches(place(2, 1).gateway, 53)).toBe(true);
    expect(await stranger.reaches(gateway, 53)).toBe(false);
    const listening = await stranger.listen(80);
    expect(await open(place(2, 1).address)).toBe(true);
    expect(await neighbour.reaches(place(2, 1).address, 80)).toBe(false);
    listening.kill('SIGKILL');
  }, 60_000);

  it('gets no address from a neighbour that plays DHCP server', async () => {
    await neighbour.sendUdp({ from: 67, to: 68, host: fixedIp });
    await neighbour.sendUdp({ from: 5067, to: 68, host: fixedIp });
    const { stdout } = await run('nft', ['list', 'chain', 'bridge', NETWORK.table, 'from_guest']);
    // The kernel has counted what the rule against DHCP servers has dropped, and that alone.
    expect(/udp sport 67 counter packets (\d+)/.exec(stdout)?.[1]).toBe('1');
  }, 20_000);

  it('loses its floating address and gets it back while it runs', async () => {
    await hypervisor.changeNetwork(vm, { ...spec, floatingIp: undefined, rules: [...DEFAULT_RULES, HTTP] });
    expect(await reachable()).toEqual({ host: true, neighbour: true, outside: false });
    await put([...DEFAULT_RULES, HTTP]);
    expect(await reachable()).toEqual({ host: true, neighbour: true, outside: true });
  }, 30_000);
});
