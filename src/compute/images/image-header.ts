/**
 * Looks at the first bytes of a disk image before any other program opens it.
 *
 * An image comes from outside. A qcow2 header can name a backing or data file, any file of the host, whose content the
 * guest would then read; a "raw" disk that QEMU takes for another format could do the same. Both are refused here.
 * What this file must never do is trust a name or a length in the header enough to follow it.
 */
import { open } from 'node:fs/promises';
import { HypervisorError } from '../hypervisor/hypervisor.js';

export type ImageFormat = 'qcow2' | 'raw';

const HEADER_BYTES = 1024;
const QCOW2_MAGIC = 'QFI\xfb';
const SECTOR_BYTES = 512;

/** Formats that QEMU recognizes and that can refer to other files, or hide what the guest's disk is. */
const FOREIGN_MAGIC: readonly (readonly [name: string, offset: number, magic: string])[] = [
  ['qcow', 0, QCOW2_MAGIC],
  ['qed', 0, 'QED\0'],
  ['vmdk', 0, 'KDMV'],
  ['vmdk', 0, 'COWD'],
  ['vmdk', 0, '# Disk DescriptorFile'],
  ['vhdx', 0, 'vhdxfile'],
  ['vhd', 0, 'conectix'],
  ['vdi', 0x40, '\x7f\x10\xda\xbe'],
  ['parallels', 0, 'WithoutFreeSpace'],
  ['parallels', 0, 'WithouFreSpacExt'],
  ['luks', 0, 'LUKS\xba\xbe'],
];

/** Bits of a version 3 header's incompatible features. */
const DIRTY = 1n << 0n;
const CORRUPT = 1n << 1n;
const EXTERNAL_DATA_FILE = 1n << 2n;
const COMPRESSION_TYPE = 1n << 3n;
const EXTENDED_L2 = 1n << 4n;
const KNOWN_FEATURES = DIRTY | CORRUPT | EXTERNAL_DATA_FILE | COMPRESSION_TYPE | EXTENDED_L2;

/** @returns why the image must not be used, or undefined when nothing speaks against it. */
export function refusalOf(header: Buffer, format: ImageFormat): string | undefined {
  return format === 'qcow2' ? refusalOfQcow2(header) : refusalOfRaw(header);
}

function refusalOfQcow2(header: Buffer): string | undefined {
  if (header.length < 72 || header.toString('latin1', 0, 4) !== QCOW2_MAGIC) return 'it is not a qcow2 file';
  const version = header.readUInt32BE(4);
  if (version !== 2 && version !== 3) return `it has qcow version ${version}; only 2 and 3 are supported`;
  if (header.readBigUInt64BE(8) !== 0n || header.readUInt32BE(16) !== 0) return 'it has a backing file';
  if (header.readUInt32BE(32) !== 0) return 'it is encrypted';
  if (version === 2) return undefined;
  if (header.length < 104) return 'its header is cut off';
  const features = header.readBigUInt64BE(72);
  if (features & EXTERNAL_DATA_FILE) return 'it keeps its content in an external data file';
  if (features & CORRUPT) return 'it is marked as corrupt';
  if (features & ~KNOWN_FEATURES) return 'it uses features that are not known';
  return undefined;
}

function refusalOfRaw(header: Buffer): string | undefined {
  if (header.length < SECTOR_BYTES) return 'it is shorter than one disk sector';
  for (const [name, offset, magic] of FOREIGN_MAGIC) {
    if (header.toString('latin1', offset, offset + magic.length) === magic) {
      return `it is declared as raw but has the signature of ${name}`;
    }
  }
  return undefined;
}

/** @throws HypervisorError when the image must not be used. */
export async function inspectImage(path: string, format: ImageFormat, imageName: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEADER_BYTES), 0, HEADER_BYTES, 0);
    const refusal = refusalOf(buffer.subarray(0, bytesRead), format);
    if (refusal) throw new HypervisorError(`The image '${imageName}' cannot be used: ${refusal}.`, false, { failure: 'image' });
  } finally {
    await file.close();
  }
}
