import { describe, expect, it } from '@jest/globals';
import type { VolumeUuid } from '../../protocol/ids.js';
import type { AttachmentStatus } from './volume-attachment.entity.js';
import { deriveVolumeStatus, deviceOf, type VolumeStage } from './volume-view.js';

describe('the status of a volume', () => {
  it.each<[AttachmentStatus | null, string]>([
    [null, 'available'],
    ['ATTACHING', 'attaching'],
    ['ATTACHED', 'in-use'],
    ['DETACHING', 'detaching'],
    ['DETACHED', 'available'],
  ])('with an attachment that is %s is %s', (attachment, status) => {
    expect(deriveVolumeStatus('ready', attachment)).toBe(status);
  });

  it.each<[VolumeStage, string]>([
    ['preparing', 'downloading'],
    ['failed', 'error'],
    ['ready', 'available'],
    ['removing', 'deleting'],
    ['gone', 'deleted'],
  ])('that is %s on its node and with no VM is %s', (stage, status) => {
    expect(deriveVolumeStatus(stage, null)).toBe(status);
  });

  it('with a VM that makes it of its image is that of its attachment', () => {
    expect(deriveVolumeStatus('preparing', 'ATTACHING')).toBe('attaching');
    expect(deriveVolumeStatus('preparing', 'DETACHED')).toBe('downloading');
  });
});

it('names the device as udev does: by the first twenty characters of the UUID', () => {
  const device = deviceOf('6f9619ff-8b86-4d01-b42d-00cf4fc964ff' as VolumeUuid);
  expect(device).toBe('/dev/disk/by-id/virtio-6f9619ff-8b86-4d01-b');
});
