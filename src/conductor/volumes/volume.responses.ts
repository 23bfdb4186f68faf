/** How volumes look from outside, field for field as Infrahub's clients know them. */
import { ApiProperty } from '@nestjs/swagger';
import type { GreenStatus } from '../catalog/region.entity.js';
import { Envelope, PagedEnvelope, type Page } from '../http/envelope.js';
import type { AttachmentStatus } from './volume-attachment.entity.js';
import type { VolumeStatus } from './volume-view.js';
import { VOLUME_TYPES } from './volume.requests.js';

const ATTACHMENT_STATUSES: readonly AttachmentStatus[] = ['ATTACHING', 'ATTACHED', 'DETACHING', 'DETACHED'];
const VOLUME_STATUSES: readonly VolumeStatus[] = ['downloading', 'available', 'attaching', 'in-use', 'detaching', 'deleting', 'error'];

class AttachmentFields {
  @ApiProperty({ type: 'integer' })
  id: number;

  @ApiProperty({ example: '/dev/disk/by-id/virtio-6f9619ff-8b86-4d01-b', description: 'The path of the disk in the guest.' })
  device: string;

  @ApiProperty()
  protected: boolean;

  @ApiProperty({ enum: ATTACHMENT_STATUSES })
  status: AttachmentStatus;
}

class AttachmentOfVolume extends AttachmentFields {
  @ApiProperty({ type: 'integer' })
  instance_id: number;
}

export class AttachVolumeFields extends AttachmentOfVolume {
  @ApiProperty({ type: 'integer' })
  volume_id: number;

  @ApiProperty({ description: 'UTC.' })
  created_at: string;
}

class VolumeEnvironmentFeatures {
  @ApiProperty()
  network_optimised: boolean;

  @ApiProperty({ enum: ['GREEN', 'PARTIALLY_GREEN', 'NOT_GREEN'] })
  green_status: GreenStatus;
}

class VolumeEnvironmentFields {
  @ApiProperty()
  name: string;

  @ApiProperty()
  region: string;

  @ApiProperty()
  features: VolumeEnvironmentFeatures;
}

class VolumeOfVm {
  @ApiProperty({ type: 'integer' })
  id: number;

  @ApiProperty()
  name: string;

  @ApiProperty()
  description: string;

  @ApiProperty({ type: 'integer', description: 'GiB.' })
  size: number;

  @ApiProperty({ enum: VOLUME_TYPES })
  volume_type: string;

  @ApiProperty()
  bootable: boolean;
}

/** In the answers about virtual machines. */
export class AttachmentOfVm extends AttachmentFields {
  @ApiProperty({ description: 'UTC.' })
  created_at: string;

  @ApiProperty()
  volume: VolumeOfVm;
}

export class VolumeFields extends VolumeOfVm {
  @ApiProperty({ enum: VOLUME_STATUSES })
  status: VolumeStatus;

  @ApiProperty()
  environment: VolumeEnvironmentFields;

  @ApiProperty({ type: [AttachmentOfVolume], description: 'Those that have ended too.' })
  attachments: AttachmentOfVolume[];

  @ApiProperty({ type: 'integer', description: 'What it was made of; zero for one that began empty.' })
  image_id: number;

  @ApiProperty({ description: 'The name of that image; empty for none.' })
  os_image: string;

  @ApiProperty({ type: String, nullable: true })
  callback_url: string | null;

  @ApiProperty({ type: String, nullable: true, description: 'Why it is in error. An addition of Baton.' })
  fault: string | null;

  @ApiProperty({ description: 'UTC.' })
  created_at: string;

  @ApiProperty({ description: 'UTC.' })
  updated_at: string;
}

export class VolumeTypesResponse extends Envelope {
  @ApiProperty({ type: [String] })
  volume_types: string[] = [...VOLUME_TYPES];
}

export class VolumeResponse extends Envelope {
  @ApiProperty()
  volume: VolumeFields;

  constructor(message: string, volume: VolumeFields) {
    super(message);
    this.volume = volume;
  }
}

export class VolumeUpdatedResponse extends VolumeResponse {
  @ApiProperty({ type: Object, description: 'What was changed, by field.', additionalProperties: true })
  updates: Record<string, unknown>;

  constructor(message: string, volume: VolumeFields, updates: Record<string, unknown>) {
    super(message, volume);
    this.updates = updates;
  }
}

export class VolumesResponse extends PagedEnvelope {
  @ApiProperty({ type: [VolumeFields] })
  volumes: VolumeFields[];

  constructor(volumes: VolumeFields[], count: number, page: Page | undefined) {
    super('Getting volumes successful', count, page);
    this.volumes = volumes;
  }
}

export class AttachmentsResponse extends Envelope {
  @ApiProperty({ type: [AttachVolumeFields] })
  volume_attachments: AttachVolumeFields[];

  constructor(message: string, attachments: AttachVolumeFields[]) {
    super(message);
    this.volume_attachments = attachments;
  }
}

/** Infrahub answers with the one key, its clients' models expect the other. */
export class AttachmentUpdatedResponse extends AttachmentsResponse {
  @ApiProperty()
  attachment: AttachVolumeFields;

  constructor(message: string, attachment: AttachVolumeFields) {
    super(message, [attachment]);
    this.attachment = attachment;
  }
}
