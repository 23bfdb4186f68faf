import { describe, expect, it } from '@jest/globals';
import type { VolumeUuid } from '../../protocol/ids.js';
import type { AttachmentStatus } from './volume-attachment.entity.js';
import { deriveVolumeStatus, deviceOf } from './volume-view.js';

describe('the status of a volume', () => {
  it.each<[AttachmentStatus | null, string]>([
    [null, 'available'],
    ['ATTACHING', 'attaching'],
    ['ATTACHED', 'in-use'],
    ['DETACHING', 'detaching'],
    ['DETACHED', 'available'],
  ])('with an attachment that is %s is %s', (attachment, status) => {
    expect(deriveVolumeStatus(false, attachment)).toBe(status);
  });

  it('of one that shall go is deleting', () => expect(deriveVolumeStatus(true, null)).toBe('deleting'));
});

it('names the device as udev does: by the first twenty characters of the UUID', () => {
  const device = deviceOf('6f9619ff-8b86-4d01-b42d-00cf4fc964ff' as VolumeUuid);
  expect(device).toBe('/dev/disk/by-id/virtio-6f9619ff-8b86-4d01-b');
});
