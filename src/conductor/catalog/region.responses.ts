/** How regions look from outside, field for field as Infrahub's clients know them. */
import { ApiProperty } from '@nestjs/swagger';
import { Envelope } from '../http/envelope.js';
import type { GreenStatus, Region } from './region.entity.js';

export class RegionFeatures {
  @ApiProperty()
  network_optimised: boolean;
}

export class RegionFields {
  @ApiProperty({ type: 'integer' })
  id: number;

  @ApiProperty()
  name: string;

  @ApiProperty()
  description: string;

  @ApiProperty()
  country: string;

  @ApiProperty({ enum: ['GREEN', 'PARTIALLY_GREEN', 'NOT_GREEN'] })
  green_status: GreenStatus;

  @ApiProperty()
  features: RegionFeatures;
}

export class RegionsResponse extends Envelope {
  @ApiProperty({ type: [RegionFields] })
  regions: RegionFields[];

  constructor(regions: RegionFields[]) {
    super('Getting regions successful');
    this.regions = regions;
  }
}

export const regionFields = (region: Region): RegionFields => ({
  id: region.id,
  name: region.name,
  description: region.description,
  country: region.country,
  green_status: region.greenStatus,
  features: { network_optimised: false },
});
