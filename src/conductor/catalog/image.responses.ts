/** How images look from outside, field for field as Infrahub's clients know them. */
import { ApiProperty } from '@nestjs/swagger';
import { apiTime, Envelope } from '../http/envelope.js';
import { displaySize } from './display-size.js';
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
  readonly created_at: Date;
  readonly region_name: string;
  readonly green_status: GreenStatus;
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
    labels: [],
    flavor_restrictions: { has_flavor_restrictions: false, restriction_type: null, compatible_flavors: [] },
    created_at: apiTime(row.created_at),
  };
}
