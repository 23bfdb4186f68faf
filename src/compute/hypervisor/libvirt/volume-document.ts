/** Disks in the documents of libvirt: which ones a domain has, and the device that adds a volume. */
import { XMLParser } from 'fast-xml-parser';
import type { VolumeUuid } from '../../../protocol/ids.js';
import { serialOf } from '../../../protocol/volume.js';
import { renderXml, type XmlTree } from './xml.js';

export interface DomainDisk {
  /** `vda`, `vdb` … */
  readonly target: string;
  readonly file: string | undefined;
  /** What it starts from. */
  readonly base: { readonly file: string; readonly format: string } | undefined;
}

/** The root disk has it. */
export const ROOT_TARGET = 'vda';

export interface VolumeDevice {
  readonly uuid: VolumeUuid;
  readonly file: string;
  readonly target: string;
}

const TARGETS = [...'bcdefghijklmnopqrstuvwxyz'].map((letter) => `vd${letter}`);

const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: '@',
  parseAttributeValue: false,
  parseTagValue: false,
  isArray: (name) => name === 'disk',
});

interface ParsedSource {
  readonly source?: { readonly '@file'?: string };
}

interface ParsedDisk extends ParsedSource {
  readonly target: { readonly '@dev': string };
  readonly backingStore?: '' | (ParsedSource & { readonly format?: { readonly '@type': string } });
}

interface ParsedDomain {
  readonly domain: { readonly devices?: { readonly disk?: readonly ParsedDisk[] } };
}

export function disksIn(domainXml: string): DomainDisk[] {
  const { domain } = parser.parse(domainXml) as ParsedDomain;
  return (domain.devices?.disk ?? []).map(({ target, source, backingStore }) => ({
    target: target['@dev'],
    file: source?.['@file'],
    base: baseIn(backingStore),
  }));
}

function baseIn(store: ParsedDisk['backingStore']): DomainDisk['base'] {
  if (!store) return undefined;
  const file = store.source?.['@file'];
  const format = store.format?.['@type'];
  return file === undefined || format === undefined ? undefined : { file, format };
}

/** The first name of a disk that none of these has; the root disk is `vda`. */
export function freeTarget(disks: readonly Pick<DomainDisk, 'target'>[]): string | undefined {
  const taken = new Set(disks.map(({ target }) => target));
  return TARGETS.find((target) => !taken.has(target));
}

/** Its format is said, and its chain ends here: what a guest writes to the start of it is never believed. */
export const volumeDisk = ({ uuid, file, target }: VolumeDevice): XmlTree => ({
  '@type': 'file',
  '@device': 'disk',
  driver: { '@name': 'qemu', '@type': 'qcow2', '@discard': 'unmap' },
  source: { '@file': file },
  backingStore: {},
  target: { '@dev': target, '@bus': 'virtio' },
  serial: serialOf(uuid),
});

export const volumeXml = (device: VolumeDevice): string => renderXml({ disk: volumeDisk(device) });

/** libvirt knows the device by its target. */
export const detachedXml = ({ target, file }: Pick<DomainDisk, 'target' | 'file'>): string =>
  renderXml({
    disk: { '@type': 'file', '@device': 'disk', source: { '@file': file }, target: { '@dev': target, '@bus': 'virtio' } },
  });
