import { describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import { gpusIn, hostDevicesIn, unanswered } from './gpu-devices.js';
import { HostGpus, type GpuHolder } from './host-gpus.js';
import type { GpuRule } from './options.js';

const A100 = '10de:20b5';
const RULES: readonly GpuRule[] = [{ model: 'A100-80G', pciProduct: A100 }];
const WANTED = { model: 'A100-80G', count: 1 };
const FIRST = '0000:65:00.0';
const SECOND = '0000:66:00.0';

/** As libvirt writes it: numbers in decimal. */
function device({ bus = 0x65, pciClass = '0x030200', product = '0x20b5', iommu = true }): string {
  const group = iommu ? `<iommuGroup number='${bus}'><address domain='0x0000' bus='0x65' slot='0x00' function='0x0'/></iommuGroup>` : '';
  return `<device><name>pci_0000_${bus.toString(16)}_00_0</name><capability type='pci'><class>${pciClass}</class><domain>0</domain><bus>${bus}</bus>
    <slot>0</slot><function>0</function><product id='${product}'>GA100</product><vendor id='0x10de'>NVIDIA</vendor>${group}</capability></device>`;
}

const domain = (address: string): string => {
  const [, bus] = /:(..):/.exec(address)!;
  return `<domain><devices><hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0x0000' bus='0x${bus}' slot='0x00' function='0x0'/></source></hostdev></devices></domain>`;
};

/** A host whose domains are named by who has them. */
function host(devices: readonly string[], strangers: Readonly<Record<string, string>> = {}) {
  const holders = new Map<string, GpuHolder>();
  const calls = {
    pciDeviceDocuments: () => devices,
    listDomains: () => [...holders.keys(), ...Object.keys(strangers)].map((uuid) => ({ uuid, name: uuid, state: 'stopped' })),
    domainDocument: (uuid: string) => strangers[uuid],
  };
  const connection = { call: async (name: keyof typeof calls, ...args: [string]) => calls[name](...args) };
  const worker = () => new HostGpus(connection as never, RULES, pino({ level: 'silent' }));
  const claim = async (gpus: HostGpus, uuid: string, wanted = WANTED): Promise<readonly string[]> => {
    await gpus.claim(uuid, wanted, async () => [...holders.values()], async (gpuAddresses) => {
      await new Promise(setImmediate);
      holders.set(uuid, { uuid, gpuAddresses });
    });
    return holders.get(uuid)!.gpuAddresses;
  };
  return { holders, worker, claim };
}

describe('the GPUs of a host', () => {
  const two = [device({}), device({ bus: 0x66 })];

  it('are its display and 3D controllers that a guest can have', () => {
    const others = [device({ bus: 1, pciClass: '0x020000' }), '<device><capability type="pci"/></device>', '<device/>'];
    expect(gpusIn([...two, ...others, device({ bus: 0x67, iommu: false, pciClass: '0x030000' })])).toEqual([
      { pciAddress: FIRST, pciProduct: A100, hasIommuGroup: true },
      { pciAddress: SECOND, pciProduct: A100, hasIommuGroup: true },
      { pciAddress: '0000:67:00.0', pciProduct: A100, hasIommuGroup: false },
    ]);
  });

  it('that were named and cannot be given are told of', () => {
    const present = gpusIn([device({ iommu: false })]);
    expect(unanswered([...RULES, { model: 'L40', pciAddress: '0000:70:00.0' }], present)).toEqual([
      `${FIRST} (A100-80G) is in no IOMMU group: switch the IOMMU on in firmware and kernel`,
      'no display or 3D controller of the host is 0000:70:00.0 (L40)',
    ]);
  });

  it('count when they were named and no stranger has them', async () => {
    const { worker } = host([...two, device({ bus: 0x70, product: '0x26b5' })], { 'of-virt-manager': domain(SECOND) });
    expect(await worker().inventory([])).toEqual([{ model: 'A100-80G', count: 1 }]);
  });

  it('still count when VMs of ours have them', async () => {
    const { worker } = host(two);
    expect(await worker().inventory([{ uuid: 'ours', gpuAddresses: [FIRST] }])).toEqual([{ model: 'A100-80G', count: 2 }]);
  });

  it('are given to one VM each, when two ask at once', async () => {
    const { worker, claim } = host(two);
    const gpus = worker();
    expect((await Promise.all([claim(gpus, 'one'), claim(gpus, 'two')])).flat().sort()).toEqual([FIRST, SECOND]);
    await expect(claim(gpus, 'three')).rejects.toThrow("The node has 0 free GPUs of the model 'A100-80G', but 1 are needed.");
  });

  it('stay whose they are over a restart of the worker', async () => {
    const { worker, claim } = host(two);
    expect(await claim(worker(), 'one')).toEqual([FIRST]);
    expect(await claim(worker(), 'two')).toEqual([SECOND]);
    expect(await claim(worker(), 'two')).toEqual([SECOND]);
  });

  it('are not given away while a stranger has them', async () => {
    const { worker, claim } = host(two, { 'of-virt-manager': domain(FIRST) });
    expect(await claim(worker(), 'one')).toEqual([SECOND]);
    await expect(claim(worker(), 'two')).rejects.toThrow('0 free GPUs');
  });

  it('are given anew when their VM is gone', async () => {
    const { worker, claim, holders } = host([two[0]!]);
    await claim(worker(), 'one');
    holders.delete('one');
    expect(await claim(worker(), 'two')).toEqual([FIRST]);
  });

  it('that have vanished are replaced by others, or named in the refusal', async () => {
    const devices = [...two];
    const { worker, claim } = host(devices);
    await claim(worker(), 'one');
    devices.shift();
    expect(await claim(worker(), 'one')).toEqual([SECOND]);
    devices.shift();
    await expect(claim(worker(), 'one')).rejects.toThrow(
      `The node has 0 free GPUs of the model 'A100-80G', but 1 are needed. What the virtual machine had is no longer there: ${SECOND}.`,
    );
  });

  it('of a domain are read from its document, whatever else it has', () => {
    expect(hostDevicesIn(domain(FIRST).replace('</devices>', `<hostdev mode='subsystem' type='usb'/><disk/></devices>`))).toEqual([FIRST]);
    expect(hostDevicesIn('<domain/>')).toEqual([]);
  });
});
