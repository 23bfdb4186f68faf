/** The numbers of an organization, field for field as Infrahub's console knows them. */
import { ApiProperty } from '@nestjs/swagger';
import { Envelope } from '../http/envelope.js';

const COST = { description: 'Always 0: there is no billing.' };

export class InstanceOverview {
  @ApiProperty({ type: 'integer' })
  count: number;

  @ApiProperty({ type: 'integer' })
  gpus: number;

  @ApiProperty({ type: 'integer' })
  vcpus: number;

  @ApiProperty({ description: 'GB' })
  ram: number;

  @ApiProperty(COST)
  cost_per_hour: number;
}

export class VolumeOverview {
  @ApiProperty({ type: 'integer' })
  count: number;

  @ApiProperty({ type: 'integer', description: 'GB' })
  using: number;

  @ApiProperty(COST)
  cost_per_hour: number;
}

export class Overview {
  @ApiProperty()
  instance: InstanceOverview;

  @ApiProperty({ description: 'All zero: there are no containers.' })
  container: InstanceOverview;

  @ApiProperty()
  volume: VolumeOverview;
}

export class DashboardResponse extends Envelope {
  @ApiProperty()
  overview: Overview;

  constructor(instance: InstanceOverview, volume: VolumeOverview) {
    super('Getting dashboard successful');
    this.overview = {
      instance,
      container: { count: 0, gpus: 0, vcpus: 0, ram: 0, cost_per_hour: 0 },
      volume,
    };
  }
}
