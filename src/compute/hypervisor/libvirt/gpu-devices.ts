/**
 * The host's GPUs as libvirt tells of them, and which of them a VM gets. Pure: the documents come from libvirt, and the
 * caller holds the lock under which the list of devices in use was read.
 *
 * A device is known by its PCI address alone, written as `0000:65:00.0`. What the operator did not name is never given
 * away, nor is what has no IOMMU group: no guest could have it.
 */
import { XMLParser } from 'fast-xml-parser';
import type { GpuInventory } from '../../../protocol/node.js';
import type { GpuSpec } from '../../../protocol/task.js';
import { HypervisorError } from '../hypervisor.js';
import type { GpuRule } from './options.js';

export interface HostGpu {
  readonly pciAddress: string;
  /** Vendor and product, as `lspci -n` has them: `10de:20b5`. */
  readonly pciProduct: string;
  /** Without one it cannot be given to a guest. */
  readonly hasIommuGroup: boolean;
}

export interface OfferedGpu {
  readonly model: string;
  readonly pciAddress: string;
}

/** PCI base class of VGA, XGA and 3D controllers. */
const DISPLAY_CLASS = '0x03';

interface PciAddress {
  readonly domain: string;
  readonly bus: string;
  readonly slot: string;
  readonly function: string;
}

interface PciCapability extends PciAddress {
  readonly type: string;
  readonly class?: string;
  readonly vendor?: { readonly id?: string };
  readonly product?: { readonly id?: string };
  readonly iommuGroup?: unknown;
}

interface HostDevice {
  readonly type: string;
  readonly source?: { readonly address?: PciAddress };
}

const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: '',
  parseAttributeValue: false,
  parseTagValue: false,
  isArray: (_name, path) => path === 'domain.devices.hostdev' || path === 'device.capability',
});

/** libvirt writes numbers decimal in a device's document and hexadecimal in a domain's. */
function addressOf(address: PciAddress): string {
  const hex = (text: string, digits: number): string => Number(text).toString(16).padStart(digits, '0');
  return `${hex(address.domain, 4)}:${hex(address.bus, 2)}:${hex(address.slot, 2)}.${hex(address.function, 1)}`;
}

const idOf = (part: PciCapability['vendor']): string => (part?.id ?? '').replace(/^0x/, '').toLowerCase();

/** @param documents of libvirt's PCI devices. */
export function gpusIn(documents: readonly string[]): HostGpu[] {
  return documents.flatMap((document) => {
    const { device } = parser.parse(document) as { device?: { capability?: PciCapability[] } };
    const pci = device?.capability?.find(({ type }) => type === 'pci');
    if (!pci?.class?.startsWith(DISPLAY_CLASS)) return [];
    return [
      {
        pciAddress: addressOf(pci),
        pciProduct: `${idOf(pci.vendor)}:${idOf(pci.product)}`,
        hasIommuGroup: pci.iommuGroup !== undefined,
      },
    ];
  });
}

/** @returns the addresses of the PCI devices that a domain has. */
export function hostDevicesIn(document: string): string[] {
  const { domain } = parser.parse(document) as { domain?: { devices?: { hostdev?: HostDevice[] } } };
  return (domain?.devices?.hostdev ?? []).flatMap(({ type, source }) =>
    type === 'pci' && source?.address ? [addressOf(source.address)] : [],
  );
}

/** Each device once, under the first model that names it. */
export function offeredOf(rules: readonly GpuRule[], present: readonly HostGpu[]): OfferedGpu[] {
  return present.flatMap((gpu) => {
    if (!gpu.hasIommuGroup) return [];
    const rule = rules.find((each) => ('pciAddress' in each ? each.pciAddress === gpu.pciAddress : each.pciProduct === gpu.pciProduct));
    return rule ? [{ model: rule.model, pciAddress: gpu.pciAddress }] : [];
  });
}

/** What of the rules no device answers to, in words for the operator. */
export function unanswered(rules: readonly GpuRule[], present: readonly HostGpu[]): string[] {
  return rules.flatMap((rule) => {
    const wanted = 'pciAddress' in rule ? rule.pciAddress : rule.pciProduct;
    const found = present.filter(({ pciAddress, pciProduct }) => pciAddress === wanted || pciProduct === wanted);
    if (found.length === 0) return [`no display or 3D controller of the host is ${wanted} (${rule.model})`];
    return found
      .filter(({ hasIommuGroup }) => !hasIommuGroup)
      .map(({ pciAddress }) => `${pciAddress} (${rule.model}) is in no IOMMU group: switch the IOMMU on in firmware and kernel`);
  });
}

export function countByModel(offered: readonly OfferedGpu[], inUse: ReadonlySet<string>): GpuInventory[] {
  const counts = new Map<string, number>();
  for (const { model, pciAddress } of offered) if (!inUse.has(pciAddress)) counts.set(model, (counts.get(model) ?? 0) + 1);
  return [...counts].map(([model, count]) => ({ model, count }));
}

/** @param had the addresses of its domain until now: as long as they are there, it keeps them. */
export function chooseGpus(
  offered: readonly OfferedGpu[],
  { model, count }: GpuSpec,
  had: readonly string[],
  inUse: ReadonlySet<string>,
): readonly string[] {
  const free = offered.filter((gpu) => gpu.model === model && !inUse.has(gpu.pciAddress)).map(({ pciAddress }) => pciAddress);
  const chosen = [...free.filter((address) => had.includes(address)), ...free.filter((address) => !had.includes(address))];
  if (chosen.length >= count) return chosen.slice(0, count);
  const gone = had.filter((address) => !offered.some(({ pciAddress }) => pciAddress === address));
  const missing = gone.length > 0 ? ` What the virtual machine had is no longer there: ${gone.join(', ')}.` : '';
  throw new HypervisorError(`The node has ${free.length} free GPUs of the model '${model}', but ${count} are needed.${missing}`, true, {
    cause: new Error(`offered: ${JSON.stringify(offered)}; in use: ${[...inUse].join(' ')}`),
  });
}
