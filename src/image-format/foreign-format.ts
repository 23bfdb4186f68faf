/**
 * What a file is whose content was declared to be a bare disk. QEMU guesses by the same marks; some of these formats can
 * name other files of the host, and all of them mean that the declaration is wrong.
 */

const SECTOR_BYTES = 512;

type Mark = readonly [format: string, offset: number, magic: string];

const MARKS: readonly Mark[] = [
  ['qcow', 0, 'QFI\xfb'],
  ['qed', 0, 'QED\0'],
  ['vmdk', 0, 'KDMV'],
  ['vmdk', 0, 'COWD'],
  ['vmdk', 0, '# Disk DescriptorFile'],
  ['vhdx', 0, 'vhdxfile'],
  ['vhd', 0, 'conectix'],
  ['vhd', 0, 'cxsparse'],
  ['vdi', 0x40, '\x7f\x10\xda\xbe'],
  ['parallels', 0, 'WithoutFreeSpace'],
  ['parallels', 0, 'WithouFreSpacExt'],
  ['bochs', 0, 'Bochs Virtual HD Image'],
  ['cloop', 0, '#!/bin/sh\n#V2.0 Format'],
  ['luks', 0, 'LUKS\xba\xbe'],
  ['gzip', 0, '\x1f\x8b\x08'],
  ['xz', 0, '\xfd7zXZ\0'],
  ['zstd', 0, '\x28\xb5\x2f\xfd'],
  ['bzip2', 0, 'BZh'],
  ['zip', 0, 'PK\x03\x04'],
  ['tar (ova)', 257, 'ustar'],
];

/** Of the last sector. */
const TAIL_MARKS: readonly Mark[] = [
  ['vhd', 0, 'conectix'],
  ['dmg', 0, 'koly'],
];

/** Text like this describes a VMDK whose content is in other files; comments and blank lines may stand before it. */
const VMDK_DESCRIPTOR = /^(?:[ \t]*(?:#[^\n]*)?\r?\n)*[ \t]*version[ \t]*=|^[ \t]*createType[ \t]*=/im;

const markedAs = (bytes: Buffer, marks: readonly Mark[]): string | undefined =>
  marks.find(([, offset, magic]) => bytes.toString('latin1', offset, offset + magic.length) === magic)?.[0];

/**
 * @param head the first bytes of the file, a kibibyte or more.
 * @param tail its last sector.
 */
export function foreignFormatOf(head: Buffer, tail: Buffer): string | undefined {
  return markedAs(head, MARKS) ?? markedAs(tail.subarray(-SECTOR_BYTES), TAIL_MARKS) ?? (isVmdkDescriptor(head) ? 'vmdk' : undefined);
}

function isVmdkDescriptor(head: Buffer): boolean {
  const text = head.subarray(0, 4096).toString('latin1');
  const end = text.search(/[^\t\r\n\x20-\x7e]/);
  return VMDK_DESCRIPTOR.test(end < 0 ? text : text.slice(0, end));
}
