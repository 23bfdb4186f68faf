import { describe, expect, it } from '@jest/globals';
import { XMLValidator } from 'fast-xml-parser';
import type { VolumeUuid } from '../../../protocol/ids.js';
import { disksIn, freeTarget, volumeXml } from './volume-document.js';

const UUID = '6f9619ff-8b86-4d01-b42d-00cf4fc964ff' as VolumeUuid;
const ROOT_DISK = `<disk type='file' device='disk'><source file='/data/instances/a/disk.qcow2'/><target dev='vda' bus='virtio'/></disk>`;

const domainWith = (...disks: string[]): string => `<domain><devices><emulator/>${disks.join('')}</devices></domain>`;

describe('the device of a volume', () => {
  const xml = volumeXml({ uuid: UUID, file: `/data/volumes/${UUID}.qcow2`, target: 'vdb' });

  it('shows the guest the first twenty characters of its UUID as the serial number', () => {
    expect(xml).toContain('<serial>6f9619ff-8b86-4d01-b</serial>');
  });

  it('says the format and ends the chain, so that what a guest writes is never taken for a header', () => {
    expect(XMLValidator.validate(xml)).toBe(true);
    expect(xml).toContain('type="qcow2"');
    expect(xml).toContain('<backingStore/>');
  });

  it('is found again in the document of a domain', () => {
    expect(disksIn(domainWith(ROOT_DISK, xml))).toEqual([
      { target: 'vda', file: '/data/instances/a/disk.qcow2' },
      { target: 'vdb', file: `/data/volumes/${UUID}.qcow2` },
    ]);
  });
});

describe('the disks of a domain', () => {
  it('may be one or none', () => {
    expect(disksIn(domainWith(ROOT_DISK))).toHaveLength(1);
    expect(disksIn(domainWith())).toEqual([]);
    expect(disksIn(domainWith(`<disk device='cdrom'><target dev='sda' bus='sata'/></disk>`))).toEqual([
      { target: 'sda', file: undefined, base: undefined },
    ]);
  });

  it('leave the first free name to the next one', () => {
    const disk = (target: string) => ({ target });
    expect(freeTarget([disk('vda')])).toBe('vdb');
    expect(freeTarget([disk('vda'), disk('vdb'), disk('vdd')])).toBe('vdc');
  });
});
