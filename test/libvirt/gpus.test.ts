/**
 * GPUs with libvirt itself, on a host that needs none: its `test` driver tells of devices that a file describes, its QEMU
 * driver keeps the domains that are given them. No guest is started.
 */
import { randomUUID } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import type { LibvirtConnection } from '../../src/compute/hypervisor/libvirt/connection.js';
import type { LibvirtDaemons } from '../../src/compute/hypervisor/libvirt/daemons.js';
import type { GpuHolder, HostGpus } from '../../src/compute/hypervisor/libvirt/host-gpus.js';

const built = <T>(file: string) => import(join(resolve(import.meta.dirname, '../..'), 'dist/compute/hypervisor/libvirt', file)) as Promise<T>;

const NODE = `gpus-${process.pid}`;
const MODEL = 'A100-80G';
const HOST_FILE = join(tmpdir(), `baton-${NODE}.xml`);
const BUSES = [0x65, 0x66, 0x67];
const log = pino({ level: 'silent' });

const device = (bus: number): string => `
  <device><name>pci_0000_${bus.toString(16)}_00_0</name><parent>computer</parent><capability type='pci'>
    <class>0x030200</class><domain>0</domain><bus>${bus}</bus><slot>0</slot><function>0</function>
    <product id='0x20b5'>GA100</product><vendor id='0x10de'>NVIDIA Corporation</vendor>
    <iommuGroup number='${bus}'><address domain='0x0000' bus='0x${bus.toString(16)}' slot='0x00' function='0x0'/></iommuGroup>
  </capability></device>`;

const HOST = `<node><cpu><mhz>2000</mhz><model>i686</model><active>4</active><nodes>1</nodes><sockets>1</sockets><cores>4</cores>
  <threads>1</threads></cpu><memory>8388608</memory>${BUSES.map(device).join('')}</node>`;

describe('the GPUs of a libvirt host', () => {
  let daemons: LibvirtDaemons;
  let domains: LibvirtConnection;
  let documents: typeof import('../../src/compute/hypervisor/libvirt/domain-document.js');
  let reading: typeof import('../../src/compute/hypervisor/libvirt/gpu-devices.js');
  let worker: () => HostGpus;
  const made = new Set<string>();
  const stranger = randomUUID();
  const [one, two] = [randomUUID(), randomUUID()];

  beforeAll(async () => {
    await writeFile(HOST_FILE, HOST);
    daemons = await (await built<typeof import('../../src/compute/hypervisor/libvirt/daemons.js')>('daemons.js')).ensureLibvirtDaemons();
    const { LibvirtConnection: Connection } = await built<typeof import('../../src/compute/hypervisor/libvirt/connection.js')>('connection.js');
    documents = await built('domain-document.js');
    reading = await built('gpu-devices.js');
    const deaf = { reconnected: () => undefined, domainChanged: () => undefined };
    // One process has one libvirt at a time.
    const testDriver = new Connection(`test://${HOST_FILE}`, deaf, log);
    await testDriver.open();
    const devices = await testDriver.call('pciDeviceDocuments');
    await testDriver.close();
    domains = new Connection('qemu:///system', deaf, log);
    await domains.open();
    const { HostGpus: Gpus } = await built<typeof import('../../src/compute/hypervisor/libvirt/host-gpus.js')>('host-gpus.js');
    const both = {
      call: async (name: string, ...args: never[]) =>
        name === 'pciDeviceDocuments' ? devices : await domains.call(name as never, ...(args as never)),
    };
    worker = () => new Gpus(both as never, [{ model: MODEL, pciProduct: '10de:20b5' }], log);
  }, 60_000);

  afterAll(async () => {
    for (const uuid of made) await domains.call('undefineDomain', uuid);
    await domains?.close();
    await daemons?.stop();
    await rm(HOST_FILE, { force: true });
  }, 60_000);

  async function define(uuid: string, gpuAddresses: readonly string[], node = NODE): Promise<void> {
    const instance = { node, incarnationId: 1, resets: 0, resizes: 0, gpuAddresses };
    const hardware = { vcpus: 1, memoryMib: 64, accelerator: { kind: 'tcg' }, consoleLog: '/dev/null', onReboot: 'restart' } as const;
    await domains.call('defineDomain', documents.domainXml({ name: `baton-${NODE}-${uuid}`, uuid, instance, ...hardware }));
    made.add(uuid);
  }

  const own = async (): Promise<GpuHolder[]> =>
    (await domains.call('listDomains')).flatMap(({ uuid, metadata }) => {
      const instance = documents.parseInstance(metadata);
      return instance?.node === NODE ? [{ uuid, gpuAddresses: instance.gpuAddresses }] : [];
    });

  const claim = (gpus: HostGpus, uuid: string, count = 1): Promise<void> =>
    gpus.claim(uuid, { model: MODEL, count }, own, (addresses) => define(uuid, addresses));

  const devicesOf = async (uuid: string): Promise<string[]> => reading.hostDevicesIn((await domains.call('domainDocument', uuid, 'config'))!);

  it('are counted, but for those that somebody else has', async () => {
    expect(await worker().inventory(await own())).toEqual([{ model: MODEL, count: 3 }]);
    await define(stranger, ['0000:65:00.0'], 'another-node');
    expect(await worker().inventory(await own())).toEqual([{ model: MODEL, count: 2 }]);
  }, 180_000);

  it('are handed to domains, each to one, however many ask', async () => {
    const gpus = worker();
    const third = claim(gpus, randomUUID(), 3);
    await expect(third).rejects.toThrow('The node has 2 free GPUs');
    await Promise.all([claim(gpus, one), claim(gpus, two)]);
    expect([...(await devicesOf(one)), ...(await devicesOf(two))].sort()).toEqual(['0000:66:00.0', '0000:67:00.0']);
  }, 60_000);

  it('are known to a worker that was started anew', async () => {
    const before = await devicesOf(one);
    await expect(claim(worker(), randomUUID())).rejects.toThrow('The node has 0 free GPUs');
    await claim(worker(), one);
    expect(await devicesOf(one)).toEqual(before);
  }, 60_000);

  it('are free again when their domain is gone', async () => {
    const freed = await devicesOf(two);
    await domains.call('undefineDomain', two);
    made.delete(two);
    const next = randomUUID();
    await claim(worker(), next);
    expect(await devicesOf(next)).toEqual(freed);
  }, 60_000);
});
