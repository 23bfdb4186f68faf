/** What the endpoints of snapshots answer with. Names and types are Infrahub's, additions are marked. */
import { ApiProperty } from '@nestjs/swagger';
import { ImageFields } from '../catalog/image.responses.js';
import { Envelope, PagedEnvelope, type Page } from '../http/envelope.js';
import { InstanceFields } from '../virtual-machines/vm.responses.js';
import type { SnapshotStatus } from './snapshot-status.js';

/** What every answer about a snapshot has. */
class CommonFields {
  @ApiProperty({ type: 'integer' })
  id: number;

  @ApiProperty()
  name: string;

  @ApiProperty()
  description: string;

  @ApiProperty({ enum: ['CREATING', 'SUCCESS', 'ERROR', 'DELETING'] })
  status: SnapshotStatus;

  @ApiProperty({ type: 'integer', description: 'GB, of the disk.' })
  size: number;

  @ApiProperty({ type: 'integer', nullable: true, description: 'Bytes that the copy takes. An addition of Baton.' })
  size_bytes: number | null;

  @ApiProperty({ description: 'An image was made of it.' })
  is_image: boolean;

  @ApiProperty({ description: 'The VM had a floating IP.' })
  has_floating_ip: boolean;

  @ApiProperty({ type: 'integer' })
  vm_id: number;

  @ApiProperty()
  vm_name: string;

  @ApiProperty({ description: 'DELETED when it is gone.' })
  vm_status: string;

  @ApiProperty({ type: 'integer' })
  region_id: number;

  @ApiProperty()
  region: string;

  @ApiProperty({ type: String, nullable: true, description: 'Why it is in ERROR. An addition of Baton.' })
  fault: string | null;

  @ApiProperty({ description: 'UTC.', example: '2026-01-31T12:00:00' })
  created_at: string;

  @ApiProperty()
  updated_at: string;
}

export class SnapshotFields extends CommonFields {
  @ApiProperty({ type: [String] })
  labels: string[];
}

/** Of one alone: Infrahub's clients expect names and a string of labels here. */
export class SnapshotRetrieveFields extends CommonFields {
  @ApiProperty({ description: 'With commas between them.' })
  labels: string;

  @ApiProperty()
  vm_environment: string;

  @ApiProperty()
  vm_flavor: string;

  @ApiProperty()
  vm_image: string;

  @ApiProperty()
  vm_keypair: string;

  @ApiProperty({ type: String, nullable: true, description: 'Name of the image that was made of it.' })
  custom_image: string | null;

  @ApiProperty({ type: String, nullable: true, description: 'Always null: snapshots are of root disks.' })
  volume_id: string | null;

  @ApiProperty({ type: String, nullable: true })
  volume_name: string | null;
}

export class SnapshotsResponse extends PagedEnvelope {
  @ApiProperty({ type: [SnapshotFields] })
  snapshots: SnapshotFields[];

  constructor(snapshots: SnapshotFields[], count: number, page: Page | undefined) {
    super('Getting snapshots successful', count, page);
    this.snapshots = snapshots;
  }
}

export class SnapshotResponse extends Envelope {
  @ApiProperty()
  snapshot: SnapshotRetrieveFields;

  constructor(snapshot: SnapshotRetrieveFields) {
    super('Getting snapshot detail successful');
    this.snapshot = snapshot;
  }
}

export class CreateSnapshotResponse extends Envelope {
  @ApiProperty()
  snapshot: SnapshotFields;

  constructor(snapshot: SnapshotFields) {
    super('Creating snapshot');
    this.snapshot = snapshot;
  }
}

/** Infrahub answers with the one key, its clients' models expect the other. */
export class RestoredInstanceResponse extends Envelope {
  @ApiProperty({ type: [InstanceFields] })
  instances: InstanceFields[];

  @ApiProperty()
  instance: InstanceFields;

  constructor(instance: InstanceFields) {
    super('Restoring snapshot');
    this.instances = [instance];
    this.instance = instance;
  }
}

/** Infrahub nests the image, its clients' model has the id beside the envelope. */
export class CreateImageResponse extends Envelope {
  @ApiProperty({ type: 'integer' })
  id: number;

  @ApiProperty()
  image: ImageFields;

  constructor(image: ImageFields) {
    super('Image created successfully');
    this.id = image.id;
    this.image = image;
  }
}

export class SnapshotEventFields {
  @ApiProperty({ type: 'integer' })
  id: number;

  @ApiProperty({ type: 'integer' })
  snapshot_id: number;

  @ApiProperty({ type: 'integer', nullable: true, description: 'Null when the cloud itself did it.' })
  user_id: number | null;

  @ApiProperty({ type: 'integer' })
  org_id: number;

  @ApiProperty({ description: 'UTC.' })
  time: string;

  @ApiProperty({ enum: ['normal', 'warning'] })
  type: string;

  @ApiProperty({ example: 'SnapshotCreateRequest' })
  reason: string;

  @ApiProperty({ description: "The snapshot's name." })
  object: string;

  @ApiProperty()
  message: string;
}

export class SnapshotEventsResponse extends Envelope {
  @ApiProperty({ type: [SnapshotEventFields] })
  snapshot_events: SnapshotEventFields[];

  constructor(events: SnapshotEventFields[]) {
    super('Getting snapshot events successful');
    this.snapshot_events = events;
  }
}
