import { describe, expect, it } from '@jest/globals';
import { refusalOf } from './image-header.js';

function qcow2(change: (header: Buffer) => void = () => undefined, version = 3): Buffer {
  const header = Buffer.alloc(1024);
  header.write('QFI\xfb', 0, 'latin1');
  header.writeUInt32BE(version, 4);
  header.writeUInt32BE(16, 20);
  header.writeBigUInt64BE(2n ** 30n, 24);
  change(header);
  return header;
}

describe('a qcow2 image', () => {
  it.each([2, 3])('of version %i that stands alone is accepted', (version) => {
    expect(refusalOf(qcow2(undefined, version), 'qcow2')).toBeUndefined();
  });

  it.each<[string, (header: Buffer) => void, string]>([
    ['names a backing file', (header) => header.writeBigUInt64BE(512n, 8), 'backing file'],
    ['gives a backing file a length only', (header) => header.writeUInt32BE(9, 16), 'backing file'],
    ['is encrypted', (header) => header.writeUInt32BE(2, 32), 'encrypted'],
    ['keeps its content elsewhere', (header) => header.writeBigUInt64BE(4n, 72), 'external data file'],
    ['is marked corrupt', (header) => header.writeBigUInt64BE(2n, 72), 'corrupt'],
    ['needs an unknown feature', (header) => header.writeBigUInt64BE(1n << 40n, 72), 'not known'],
    ['has an unknown version', (header) => header.writeUInt32BE(1, 4), 'version 1'],
    ['has another signature', (header) => header.write('KDMV', 0), 'not a qcow2'],
  ])('that %s is refused', (_what, change, reason) => {
    expect(refusalOf(qcow2(change), 'qcow2')).toContain(reason);
  });

  it('that is cut off is refused', () => {
    expect(refusalOf(qcow2().subarray(0, 40), 'qcow2')).toBeDefined();
    expect(refusalOf(qcow2().subarray(0, 80), 'qcow2')).toBeDefined();
    expect(refusalOf(Buffer.alloc(0), 'qcow2')).toBeDefined();
  });
});

describe('a raw image', () => {
  it('with a boot sector, or empty, is accepted', () => {
    const disk = Buffer.alloc(1024);
    expect(refusalOf(disk, 'raw')).toBeUndefined();
    disk.writeUInt16BE(0x55aa, 510);
    expect(refusalOf(disk, 'raw')).toBeUndefined();
  });

  it.each([
    ['qcow', 0, 'QFI\xfb'],
    ['vmdk', 0, 'KDMV'],
    ['vmdk', 0, '# Disk DescriptorFile'],
    ['vhdx', 0, 'vhdxfile'],
    ['vdi', 0x40, '\x7f\x10\xda\xbe'],
    ['qed', 0, 'QED\0'],
    ['luks', 0, 'LUKS\xba\xbe'],
  ])('with the signature of %s is refused', (name, offset, magic) => {
    const disk = Buffer.alloc(1024);
    disk.write(magic, offset, 'latin1');
    expect(refusalOf(disk, 'raw')).toContain(name);
  });

  it('shorter than a sector is refused', () => expect(refusalOf(Buffer.alloc(100), 'raw')).toBeDefined());
});
