/** The documents of libvirt's backup job: the one that begins it, and the one that tells of it while it runs. */
import { XMLParser } from 'fast-xml-parser';
import type { DomainDisk } from './volume-document.js';
import { renderXml } from './xml.js';

/** A full copy of the one disk; each of the others is named, so that none is copied by default. */
export const backupXml = (copied: DomainDisk, others: readonly DomainDisk[], target: string): string =>
  renderXml({
    domainbackup: {
      '@mode': 'push',
      disks: {
        disk: [
          { '@name': copied.target, '@backup': 'yes', '@type': 'file', driver: { '@type': 'qcow2' }, target: { '@file': target } },
          ...others.map((disk) => ({ '@name': disk.target, '@backup': 'no' })),
        ],
      },
    },
  });

const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: '@',
  parseAttributeValue: false,
  parseTagValue: false,
  isArray: (name) => name === 'disk',
});

interface ParsedFile {
  readonly '@file'?: string;
}

interface ParsedBackup {
  readonly domainbackup?: { readonly disks?: { readonly disk?: readonly { readonly target?: ParsedFile; readonly scratch?: ParsedFile }[] } };
}

/** The files that the job writes. */
export function filesWritten(document: string): string[] {
  const { domainbackup } = parser.parse(document) as ParsedBackup;
  return (domainbackup?.disks?.disk ?? []).flatMap(({ target, scratch }) => target?.['@file'] ?? scratch?.['@file'] ?? []);
}
