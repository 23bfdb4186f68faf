/**
 * The libvirt document of a VM, by a serializer alone: names, arguments and URLs come from users, and no text of
 * theirs may ever become markup.
 *
 * Our own element in it says whose the domain is (node and incarnation) and what the node must know of it after a
 * restart. A domain without that element, or with another node's name, is none of ours and never touched.
 */
import { XMLParser } from 'fast-xml-parser';
import type { ImageFormat } from '../../../image-format/disk-image.js';
import type { VolumeUuid } from '../../../protocol/ids.js';
import type { NetworkSpec } from '../../../protocol/network.js';
import type { SecurityRuleSpec } from '../../../protocol/security-rule.js';
import { volumeDisk } from './volume-document.js';
import { METADATA_NAMESPACE, METADATA_PREFIX } from './calls.js';
import { renderXml, type XmlTree } from './xml.js';

/** How guests run on this host. */
export type Accelerator =
  | { readonly kind: 'kvm'; readonly cpuMode: 'host-passthrough' | 'host-model' }
  | { readonly kind: 'tcg' };

export interface InstanceMetadata {
  readonly node: string;
  readonly incarnationId: number;
  /** Absent where a worker made the domain that assigned addresses itself: its next definition gives it its network. */
  readonly network?: NetworkSpec;
  readonly floatingIp?: string;
  /** Absent where a worker from before security rules made the domain. */
  readonly rules?: readonly SecurityRuleSpec[];
  /** How often its owner had it reset: what the port's `reset` compares with. */
  readonly resets: number;
  /** The change of flavor that the domain was last made for: what the port's `isOutgrown` compares with. */
  readonly resizes: number;
  /** PCI addresses of the host's GPUs that this VM holds. */
  readonly gpuAddresses: readonly string[];
}

/** What the guest boots from: an overlay over a shared image, or a volume. */
export type RootDisk =
  | { readonly overlay: string; readonly base: string; readonly baseFormat: ImageFormat }
  | { readonly volume: VolumeUuid; readonly file: string };

export interface DomainDescription {
  readonly name: string;
  readonly uuid: string;
  readonly title?: string;
  readonly instance?: InstanceMetadata;
  readonly accelerator: Accelerator;
  readonly vcpus: number;
  readonly memoryMib: number;
  /** Read by cloud-init from the SMBIOS serial number. */
  readonly seedUrl?: string;
  readonly kernel?: { readonly path: string; readonly initrd?: string; readonly arguments?: string };
  readonly disk?: RootDisk;
  readonly interface?: { readonly mac: string; readonly tap: string; readonly network: string };
  readonly consoleLog: string;
  /** Where QEMU listens for the serial line; without it the line is only written to the log. */
  readonly serialSocket?: string;
  /** What a reset of the guest does; the probe wants to see it as an end. */
  readonly onReboot: 'restart' | 'destroy';
}

const TRANSLATION_CACHE_MIB = 32;

function cpuOf(accelerator: Accelerator): XmlTree {
  if (accelerator.kind === 'tcg') return {};
  return { cpu: { '@mode': accelerator.cpuMode, '@check': 'none' } };
}

function bootOf({ kernel }: DomainDescription): XmlTree {
  if (!kernel) return { boot: { '@dev': 'hd' } };
  return {
    kernel: kernel.path,
    ...(kernel.initrd && { initrd: kernel.initrd }),
    ...(kernel.arguments && { cmdline: printable(kernel.arguments) }),
  };
}

/** The base is shared by many guests: libvirt must not hand its ownership to one of them. */
function diskOf(root: RootDisk): XmlTree {
  if ('volume' in root) return volumeDisk({ uuid: root.volume, file: root.file, target: 'vda' });
  const { overlay, base, baseFormat } = root;
  return {
    '@type': 'file',
    '@device': 'disk',
    driver: { '@name': 'qemu', '@type': 'qcow2', '@discard': 'unmap' },
    source: { '@file': overlay },
    backingStore: {
      '@type': 'file',
      format: { '@type': baseFormat },
      source: { '@file': base, seclabel: { '@model': 'dac', '@relabel': 'no' } },
      backingStore: {},
    },
    target: { '@dev': 'vda', '@bus': 'virtio' },
  };
}

function pciDeviceOf(address: string): XmlTree {
  const [, domain, bus, slot, func] = /^([0-9a-f]{4}):([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])$/i.exec(address) ?? [];
  const hex = (value: string | undefined) => `0x${value}`;
  return {
    '@mode': 'subsystem',
    '@type': 'pci',
    '@managed': 'yes',
    source: { address: { '@domain': hex(domain), '@bus': hex(bus), '@slot': hex(slot), '@function': hex(func) } },
  };
}

function serialOf({ consoleLog, serialSocket }: DomainDescription): XmlTree {
  if (!serialSocket) return { '@type': 'file', source: { '@path': consoleLog, '@append': 'on' }, target: { '@port': '0' } };
  return {
    '@type': 'unix',
    source: { '@mode': 'bind', '@path': serialSocket },
    log: { '@file': consoleLog, '@append': 'on' },
    target: { '@port': '0' },
  };
}

/** Where a domain's serial line can be reached; undefined where it only goes to a file. */
export function serialSocketIn(document: string): string | undefined {
  const { domain } = parser.parse(document) as { domain?: { devices?: { serial?: { type?: string; source?: { path?: string } } } } };
  const { serial } = domain?.devices ?? {};
  return serial?.type === 'unix' ? serial.source?.path : undefined;
}

/** The token in the address that the guest was given for its metadata. */
export function metadataTokenIn(document: string): string | undefined {
  const { domain } = parser.parse(document) as { domain?: { sysinfo?: { system?: { entry?: { '#text'?: string } } } } };
  return /\/metadata\/([^/]+)\/[^/]+\/$/.exec(domain?.sysinfo?.system?.entry?.['#text'] ?? '')?.[1];
}

export function domainXml(description: DomainDescription): string {
  const { accelerator, instance } = description;
  const title = printable(description.title ?? '');
  const seed = description.seedUrl && `ds=nocloud;s=${description.seedUrl}`;
  return renderXml({
    domain: {
      '@type': accelerator.kind === 'kvm' ? 'kvm' : 'qemu',
      name: description.name,
      uuid: description.uuid,
      ...(title && { title }),
      ...(instance && { metadata: instanceElement(instance) }),
      memory: { '@unit': 'MiB', '#': String(description.memoryMib) },
      vcpu: String(description.vcpus),
      ...(seed && { sysinfo: { '@type': 'smbios', system: { entry: { '@name': 'serial', '#': seed } } } }),
      os: {
        type: { '@arch': 'x86_64', '@machine': 'pc', '#': 'hvm' },
        ...bootOf(description),
        ...(seed && { smbios: { '@mode': 'sysinfo' } }),
      },
      features: {
        acpi: {},
        apic: {},
        // QEMU's default of a gigabyte would cost more memory than a small guest has.
        ...(accelerator.kind === 'tcg' && {
          tcg: { 'tb-cache': { '@unit': 'MiB', '#': String(TRANSLATION_CACHE_MIB) } },
        }),
      },
      ...cpuOf(accelerator),
      clock: { '@offset': 'utc' },
      on_poweroff: 'destroy',
      on_reboot: description.onReboot,
      on_crash: 'destroy',
      devices: {
        ...(description.disk && { disk: diskOf(description.disk) }),
        ...(description.interface && {
          interface: {
            '@type': 'network',
            mac: { '@address': description.interface.mac },
            source: { '@network': description.interface.network },
            target: { '@dev': description.interface.tap },
            model: { '@type': 'virtio' },
            // Guests reach each other by the host alone, where the security rules are.
            port: { '@isolated': 'yes' },
          },
        }),
        serial: serialOf(description),
        // libvirt chooses the path: QEMU's user could not make a socket in a folder of ours.
        graphics: { '@type': 'vnc', listen: { '@type': 'socket' } },
        video: { model: { '@type': 'vga', '@vram': '16384' } },
        ...(instance?.gpuAddresses.length && { hostdev: instance.gpuAddresses.map(pciDeviceOf) }),
        memballoon: { '@model': 'virtio', stats: { '@period': '10' } },
        rng: { '@model': 'virtio', backend: { '@model': 'random', '#': '/dev/urandom' } },
      },
    },
  });
}

function instanceElement(instance: InstanceMetadata): XmlTree {
  return {
    [`${METADATA_PREFIX}:instance`]: {
      [`@xmlns:${METADATA_PREFIX}`]: METADATA_NAMESPACE,
      ...instanceAttributes(instance),
    },
  };
}

function instanceAttributes({ node, incarnationId, network, floatingIp, rules, resets, resizes, gpuAddresses }: InstanceMetadata): XmlTree {
  return {
    '@node': node,
    '@incarnation': String(incarnationId),
    ...(network && { '@address': network.address, '@mac': network.mac, '@subnet': network.subnet, '@gateway': network.gateway }),
    ...(floatingIp && { '@floating-ip': floatingIp }),
    ...(rules && { '@rules': JSON.stringify(rules) }),
    ...(resets > 0 && { '@resets': String(resets) }),
    ...(resizes > 0 && { '@resizes': String(resizes) }),
    ...(gpuAddresses.length > 0 && { '@gpus': gpuAddresses.join(' ') }),
  };
}

/** The element alone, for a domain that exists; libvirt adds prefix and namespace. */
export function instanceXml(instance: InstanceMetadata): string {
  return renderXml({ instance: instanceAttributes(instance) });
}

const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: '',
  removeNSPrefix: true,
  parseAttributeValue: false,
});

/** @returns undefined when the element is not one that Baton wrote. */
export function parseInstance(metadata: string | undefined): InstanceMetadata | undefined {
  if (!metadata) return undefined;
  const { instance } = parser.parse(metadata) as { instance?: Record<string, string> };
  const incarnationId = Number(instance?.incarnation);
  if (!instance?.node || !Number.isSafeInteger(incarnationId)) return undefined;
  return {
    node: instance.node,
    incarnationId,
    network: networkOf(instance),
    floatingIp: instance['floating-ip'] || undefined,
    rules: instance.rules === undefined ? undefined : (JSON.parse(instance.rules) as SecurityRuleSpec[]),
    resets: Number(instance.resets ?? 0),
    resizes: Number(instance.resizes ?? 0),
    gpuAddresses: (instance.gpus ?? '').split(' ').filter(Boolean),
  };
}

function networkOf({ address, mac, subnet, gateway }: Record<string, string>): NetworkSpec | undefined {
  return address && mac && subnet && gateway ? { address, mac, subnet, gateway } : undefined;
}

/** XML has no way to write some characters, and libvirt refuses line breaks in a title. */
function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Surrogate}\uFFFE\uFFFF]+/gu, ' ').trim();
}
