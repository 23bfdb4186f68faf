/** How images look from outside, field for field as Infrahub's clients know them. */
import { ApiProperty } from '@nestjs/swagger';
import { IMAGE_FORMATS, type ImageFormat } from '../../image-format/disk-image.js';
import { apiTime, Envelope } from '../http/envelope.js';
import { displaySize } from './display-size.js';
import { IMAGE_STATUSES, type ImageStatus } from './image.entity.js';
import { LabelFields } from './label.response.js';
import type { GreenStatus } from './region.entity.js';

export class CompatibleFlavor {
  @ApiProperty({ type: 'integer' })
  flavor_id: number;

  @ApiProperty()
  flavor_name: string;
}

/** Any image boots on any flavor whose disk holds it. */
export class FlavorRestrictions {
  @ApiProperty()
  has_flavor_restrictions: boolean;

  @ApiProperty({ type: String, nullable: true, enum: ['hard', 'soft'] })
  restriction_type: string | null;

  @ApiProperty({ type: [CompatibleFlavor] })
  compatible_flavors: CompatibleFlavor[];
}

/** How the file of an image of one's own comes, or came, to the cloud. */
export class ImageTransferFields {
  @ApiProperty({ enum: ['url', 'upload'] })
  source: 'url' | 'upload';

  @ApiProperty({ type: String, nullable: true })
  url: string | null;

  @ApiProperty({ enum: IMAGE_FORMATS })
  format: ImageFormat;

  @ApiProperty({ type: String, nullable: true, example: 'sha256:9f86d0…', description: 'As it was given.' })
  checksum: string | null;

  @ApiProperty({ type: 'integer' })
  bytes: number;

  @ApiProperty({ type: 'integer', nullable: true, description: 'Null while nobody knows.' })
  total_bytes: number | null;

  @ApiProperty({ type: 'integer', nullable: true })
  percent: number | null;

  @ApiProperty({ type: String, format: 'date-time', nullable: true, description: 'When the image is given up. Null when it is available or given up.' })
  deadline: string | null;

  @ApiProperty({ type: String, nullable: true, description: 'Whose turn it is.' })
  owner: string | null;

  @ApiProperty({ type: String, nullable: true, description: 'What happens next.' })
  next_action: string | null;
}

export class ImageFields {
  @ApiProperty({ type: 'integer' })
  id: number;

  @ApiProperty()
  name: string;

  @ApiProperty()
  region_name: string;

  @ApiProperty({ example: 'Debian' })
  type: string;

  @ApiProperty()
  version: string;

  @ApiProperty({ type: 'integer', description: 'Bytes.' })
  size: number;

  @ApiProperty({ example: '25 GiB' })
  display_size: string;

  @ApiProperty()
  description: string;

  @ApiProperty({ description: 'Offered to everybody; the others are those of your organization.' })
  is_public: boolean;

  @ApiProperty({ type: [LabelFields] })
  labels: LabelFields[];

  @ApiProperty()
  flavor_restrictions: FlavorRestrictions;

  @ApiProperty({ format: 'date-time' })
  created_at: string;

  @ApiProperty({ enum: IMAGE_STATUSES, description: 'VMs can be made of it when it is available.' })
  status: ImageStatus;

  @ApiProperty({ type: String, nullable: true, description: 'Why it is in error.' })
  problem: string | null;

  @ApiProperty({ type: 'integer', description: 'GB that the disk of a VM must have at least.' })
  minimum_disk: number;

  @ApiProperty({ type: ImageTransferFields, nullable: true, description: 'Null for images that came otherwise.' })
  transfer: ImageTransferFields | null;
}

export class ImageGroup {
  @ApiProperty()
  region_name: string;

  @ApiProperty()
  type: string;

  @ApiProperty({ description: 'Address of a logo; empty for none.' })
  logo: string;

  @ApiProperty({ enum: ['GREEN', 'PARTIALLY_GREEN', 'NOT_GREEN'] })
  green_status: GreenStatus;

  @ApiProperty({ type: [ImageFields] })
  images: ImageFields[];
}

export class ImagesResponse extends Envelope {
  @ApiProperty({ type: [ImageGroup] })
  images: ImageGroup[];

  constructor(images: ImageGroup[]) {
    super('Getting images successful');
    this.images = images;
  }
}

/** Without the envelope, as Infrahub has it. */
export class ImageResponse {
  @ApiProperty()
  image: ImageFields;

  constructor(image: ImageFields) {
    this.image = image;
  }
}

export interface ImageRow {
  readonly id: number;
  readonly organization_id: number | null;
  readonly name: string;
  readonly type: string;
  readonly version: string;
  readonly description: string | null;
  /** A bigint, which the driver gives as text. */
  readonly size_bytes: string;
  readonly labels: readonly string[];
  readonly created_at: Date;
  readonly region_name: string;
  readonly green_status: GreenStatus;
  readonly status: ImageStatus;
  readonly problem: string | null;
  readonly min_disk_gib: number;
  readonly transfer: ImageTransferRow | null;
}

/** As JSON. */
interface ImageTransferRow {
  readonly source: 'url' | 'upload';
  readonly url: string | null;
  readonly format: ImageFormat;
  readonly checksum_algorithm: string | null;
  readonly checksum: string | null;
  readonly bytes_done: number;
  readonly bytes_total: number | null;
  readonly deadline_at: string;
  readonly retry_at: string | null;
  readonly last_problem: string | null;
  readonly node: string | null;
}

export function imageFields(row: ImageRow): ImageFields {
  const size = Number(row.size_bytes);
  return {
    id: row.id,
    name: row.name,
    region_name: row.region_name,
    type: row.type,
    version: row.version,
    size,
    display_size: displaySize(size),
    description: row.description ?? '',
    is_public: row.organization_id === null,
    labels: row.labels.map((label, index) => ({ id: index + 1, label })),
    flavor_restrictions: { has_flavor_restrictions: false, restriction_type: null, compatible_flavors: [] },
    created_at: apiTime(row.created_at),
    status: row.status,
    problem: row.problem,
    minimum_disk: row.min_disk_gib,
    transfer: row.transfer && transferFields(row, row.transfer),
  };
}

function transferFields(image: ImageRow, transfer: ImageTransferRow): ImageTransferFields {
  const { source, url, format, checksum_algorithm, checksum, bytes_done: bytes, bytes_total } = transfer;
  return {
    source,
    url,
    format,
    checksum: checksum && `${checksum_algorithm}:${checksum}`,
    bytes,
    total_bytes: bytes_total,
    percent: bytes_total === null || bytes_total === 0 ? null : Math.floor((Math.min(bytes, bytes_total) / bytes_total) * 100),
    ...waiting(image, transfer),
  };
}

/** For each status that is not final: by when, whose turn it is, and what happens next. */
function waiting(image: ImageRow, transfer: ImageTransferRow): Pick<ImageTransferFields, 'deadline' | 'owner' | 'next_action'> {
  const deadline = apiTime(new Date(transfer.deadline_at));
  switch (image.status) {
    case 'awaiting-upload':
      return { deadline, owner: 'you', next_action: `Send the file with PUT /v1/core/images/${image.id}/file.` };
    case 'queued':
      return {
        deadline,
        owner: `the compute nodes of region ${image.region_name}`,
        next_action:
          transfer.last_problem === null || transfer.retry_at === null
            ? 'The next node that sends a sign of life downloads it.'
            : `It is tried again after ${apiTime(new Date(transfer.retry_at))}, because the last attempt failed: ${transfer.last_problem}`,
      };
    case 'downloading':
      return { deadline, owner: `the compute node ${transfer.node}`, next_action: 'It is checked when all of it is there. If the node falls silent, another one begins anew.' };
    case 'available':
    case 'error':
      return { deadline: null, owner: null, next_action: null };
  }
}
