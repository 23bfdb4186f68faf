import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { gibibytesOf, inspect, inspectDiskImage, type DiskImage, type ImageFormat } from './disk-image.js';

const GIB = 2 ** 30;
const CLUSTER = 65_536;
const LIMIT = 100 * GIB;

/** Header, refcount table, refcount block, L1 table: what `qemu-img create` makes of a disk of one GiB. */
function qcow2(change: (header: Buffer) => void = () => undefined, version = 3): Buffer {
  const file = Buffer.alloc(4 * CLUSTER);
  file.write('QFI\xfb', 0, 'latin1');
  file.writeUInt32BE(version, 4);
  file.writeUInt32BE(16, 20);
  file.writeBigUInt64BE(BigInt(GIB), 24);
  file.writeUInt32BE(2, 36);
  file.writeBigUInt64BE(BigInt(3 * CLUSTER), 40);
  file.writeBigUInt64BE(BigInt(CLUSTER), 48);
  file.writeUInt32BE(1, 56);
  if (version === 3) {
    file.writeUInt32BE(4, 96);
    file.writeUInt32BE(104, 100);
  }
  change(file);
  return file;
}

function extension(header: Buffer, type: number, content: string, at = 104): void {
  header.writeUInt32BE(type, at);
  header.writeUInt32BE(content.length, at + 4);
  header.write(content, at + 8);
}

const look = (file: Buffer, format: ImageFormat, limit = LIMIT): DiskImage =>
  inspect({ head: file.subarray(0, CLUSTER), tail: file.subarray(-512), size: file.length }, format, limit);

describe('a qcow2 image', () => {
  it.each([2, 3])('of version %i that stands alone is accepted with its size', (version) => {
    expect(look(qcow2(undefined, version), 'qcow2')).toEqual({ virtualBytes: GIB, fileBytes: 4 * CLUSTER });
  });

  it.each<[string, (header: Buffer) => void, string]>([
    ['names a backing file', (header) => header.writeBigUInt64BE(512n, 8), 'backing file'],
    ['gives a backing file a length only', (header) => header.writeUInt32BE(9, 16), 'backing file'],
    ['is encrypted', (header) => header.writeUInt32BE(2, 32), 'encrypted'],
    ['has an encryption header', (header) => extension(header, 0x0537be77, 'luks'), 'encrypted'],
    ['keeps its content elsewhere', (header) => header.writeBigUInt64BE(4n, 72), 'external data file'],
    ['names another file for its content', (header) => extension(header, 0x44415441, '/etc/shadow'), 'external data file'],
    [
      'hides that name behind another extension',
      (header) => (extension(header, 0x6803f857, 'feature names'), extension(header, 0x44415441, '/etc/shadow', 128)),
      'external data file',
    ],
    ['has an extension without an end', (header) => (header.writeUInt32BE(7, 104), header.writeUInt32BE(2 ** 31, 108)), 'cut off'],
    ['is marked corrupt', (header) => header.writeBigUInt64BE(2n, 72), 'corrupt'],
    ['needs an unknown feature', (header) => header.writeBigUInt64BE(1n << 40n, 72), 'not known'],
    ['has an unknown version', (header) => header.writeUInt32BE(1, 4), 'version 1'],
    ['has another signature', (header) => header.write('KDMV', 0), 'not a qcow2 file, but vmdk'],
    ['contains snapshots', (header) => header.writeUInt32BE(1, 60), 'snapshots'],
    ['has a huge L1 table', (header) => header.writeUInt32BE(0x10000000, 36), 'L1 table has 2147483648 bytes'],
    ['has a huge refcount table', (header) => header.writeUInt32BE(1000, 56), 'refcount table has 65536000 bytes'],
    ['has an L1 table outside of the file', (header) => header.writeBigUInt64BE(1n << 40n, 40), 'L1 table is not within'],
    ['has a refcount table outside of the file', (header) => header.writeBigUInt64BE(BigInt(4 * CLUSTER), 48), 'refcount table is not within'],
    ['is larger than its tables say', (header) => header.writeBigUInt64BE(BigInt(3 * GIB), 24), 'L1 table is too small'],
    ['has absurd clusters', (header) => header.writeUInt32BE(40, 20), 'clusters of 2^40'],
    ['has a header of an impossible length', (header) => header.writeUInt32BE(2 ** 31, 100), 'impossible length'],
    ['is a disk of no size', (header) => header.writeBigUInt64BE(0n, 24), 'no size'],
  ])('that %s is refused', (_what, change, reason) => {
    expect(() => look(qcow2(change), 'qcow2')).toThrow(reason);
  });

  it('that unpacks to more than is allowed is refused, however small its file is', () => {
    const bomb = qcow2((header) => {
      header.writeBigUInt64BE(BigInt(500_000 * GIB), 24);
      header.writeUInt32BE(1_000_000, 36);
      header.writeBigUInt64BE(0n, 40);
    });
    const file = { head: bomb, tail: bomb.subarray(-512), size: 2 ** 24 };
    expect(() => inspect(file, 'qcow2', LIMIT)).toThrow('it unpacks to a disk of 500000 GiB, and at most 100 are allowed');
  });

  it('that is cut off is refused', () => {
    for (const length of [40, 80, 110, 3 * CLUSTER]) expect(() => look(qcow2().subarray(0, length), 'qcow2')).toThrow();
    expect(() => look(Buffer.alloc(0), 'qcow2')).toThrow('not a qcow2');
  });
});

describe('a raw image', () => {
  it('with a boot sector, or empty, is accepted', () => {
    const disk = Buffer.alloc(2048);
    expect(look(disk, 'raw')).toEqual({ virtualBytes: 2048, fileBytes: 2048 });
    disk.writeUInt16BE(0x55aa, 510);
    expect(look(disk, 'raw').virtualBytes).toBe(2048);
  });

  it.each([
    ['qcow', 0, 'QFI\xfb'],
    ['vmdk', 0, 'KDMV'],
    ['vmdk', 0, '# Disk DescriptorFile\nversion=1'],
    ['vmdk', 0, '\n# a comment\n  \nversion=1\ncreateType="monolithicFlat"\nRW 2048 FLAT "/etc/shadow" 0\n'],
    ['vmdk', 0, 'CID=1\ncreateType="vmfs"\n'],
    ['vhdx', 0, 'vhdxfile'],
    ['vhd', 0, 'conectix'],
    ['vhd', 1536, 'conectix'],
    ['vdi', 0x40, '\x7f\x10\xda\xbe'],
    ['qed', 0, 'QED\0'],
    ['luks', 0, 'LUKS\xba\xbe'],
    ['gzip', 0, '\x1f\x8b\x08'],
    ['xz', 0, '\xfd7zXZ\0'],
    ['tar (ova)', 257, 'ustar'],
  ])('with the signature of %s at %i is refused', (name, offset, magic) => {
    const disk = Buffer.alloc(2048);
    disk.write(magic, offset, 'latin1');
    expect(() => look(disk, 'raw')).toThrow(`signature of ${name}`);
  });

  it('shorter than a sector is refused', () => expect(() => look(Buffer.alloc(100), 'raw')).toThrow('sector'));
  it('larger than allowed is refused', () => expect(() => look(Buffer.alloc(2048), 'raw', 1024)).toThrow('at most'));
});

it('of which the first and last bytes are read needs a disk of whole GiB', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'baton-disk-image-'));
  try {
    await writeFile(join(folder, 'disk'), qcow2((header) => header.writeBigUInt64BE(BigInt(GIB - 512), 24)));
    const image = await inspectDiskImage(join(folder, 'disk'), 'qcow2', LIMIT);
    expect({ ...image, gib: gibibytesOf(image) }).toEqual({ virtualBytes: GIB - 512, fileBytes: 4 * CLUSTER, gib: 1 });
  } finally {
    await rm(folder, { recursive: true });
  }
});
