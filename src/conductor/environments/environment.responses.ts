/** How environments look from outside, field for field as Infrahub's clients know them. */
import { ApiProperty } from '@nestjs/swagger';
import type { GreenStatus } from '../catalog/region.entity.js';
import { apiTime, Envelope, PagedEnvelope, type Page } from '../http/envelope.js';

export class EnvironmentFeatures {
  @ApiProperty()
  network_optimised: boolean;

  @ApiProperty({ enum: ['GREEN', 'PARTIALLY_GREEN', 'NOT_GREEN'] })
  green_status: GreenStatus;
}

export class EnvironmentFields {
  @ApiProperty({ type: 'integer' })
  id: number;

  @ApiProperty()
  name: string;

  @ApiProperty({ description: 'Name of its region.' })
  region: string;

  @ApiProperty()
  features: EnvironmentFeatures;

  @ApiProperty({ example: '10.128.0.0/20', description: 'Network of its VMs, in CIDR. Added by Baton.' })
  subnet: string;

  @ApiProperty({ format: 'date-time' })
  created_at: string;
}

export class EnvironmentResponse extends Envelope {
  @ApiProperty()
  environment: EnvironmentFields;

  constructor(message: string, environment: EnvironmentFields) {
    super(message);
    this.environment = environment;
  }
}

export class EnvironmentsResponse extends PagedEnvelope {
  @ApiProperty({ type: [EnvironmentFields] })
  environments: EnvironmentFields[];

  constructor(environments: EnvironmentFields[], count: number, page: Page | undefined) {
    super('Getting environments successful', count, page);
    this.environments = environments;
  }
}

export interface EnvironmentRow {
  readonly id: number;
  readonly name: string;
  readonly created_at: Date;
  readonly region: string;
  readonly green_status: GreenStatus;
  readonly subnet: string;
}

export function environmentFields(row: EnvironmentRow): EnvironmentFields {
  return {
    id: row.id,
    name: row.name,
    region: row.region,
    features: { network_optimised: false, green_status: row.green_status },
    subnet: row.subnet,
    created_at: apiTime(row.created_at),
  };
}
