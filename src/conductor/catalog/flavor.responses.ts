/** How flavors look from outside, field for field as Infrahub's clients know them. */
import { ApiProperty } from '@nestjs/swagger';
import { apiTime, Envelope } from '../http/envelope.js';
import { LabelFields } from './label.response.js';

/** What VMs of a flavor can do; the same for all flavors, because it is what the hypervisor driver can do. */
export class FlavorFeatures {
  @ApiProperty()
  network_optimised: boolean;

  @ApiProperty()
  no_reboot: boolean;

  @ApiProperty()
  no_hibernation: boolean;

  @ApiProperty()
  no_snapshot: boolean;

  @ApiProperty()
  local_storage_only: boolean;

  @ApiProperty()
  api_only: boolean;
}

export const FLAVOR_FEATURES: FlavorFeatures = {
  network_optimised: false,
  no_reboot: false,
  no_hibernation: false,
  no_snapshot: false,
  local_storage_only: true,
  api_only: false,
};

export class FlavorFields {
  @ApiProperty({ type: 'integer' })
  id: number;

  @ApiProperty()
  name: string;

  @ApiProperty()
  display_name: string;

  @ApiProperty()
  region_name: string;

  @ApiProperty({ type: 'integer' })
  cpu: number;

  @ApiProperty({ description: 'GB; a fraction is possible.' })
  ram: number;

  @ApiProperty({ type: 'integer', description: 'Root disk in GB.' })
  disk: number;

  @ApiProperty({ type: 'integer', description: 'Ephemeral disk in GB: there is none.' })
  ephemeral: number;

  @ApiProperty({ description: 'GPU model, empty for none.' })
  gpu: string;

  @ApiProperty({ type: 'integer' })
  gpu_count: number;

  @ApiProperty({ description: 'Whether a node that is up has room for one more at this moment.' })
  stock_available: boolean;

  @ApiProperty()
  features: FlavorFeatures;

  @ApiProperty({ type: [LabelFields] })
  labels: LabelFields[];

  @ApiProperty({ format: 'date-time' })
  created_at: string;
}

export class FlavorGroup {
  @ApiProperty({ description: 'GPU model, empty for flavors without.' })
  gpu: string;

  @ApiProperty()
  region_name: string;

  @ApiProperty({ type: [FlavorFields] })
  flavors: FlavorFields[];
}

export class FlavorsResponse extends Envelope {
  @ApiProperty({ type: [FlavorGroup] })
  data: FlavorGroup[];

  constructor(groups: FlavorGroup[]) {
    super('Getting flavors successful');
    this.data = groups;
  }
}

export interface FlavorRow {
  readonly id: number;
  readonly name: string;
  readonly display_name: string | null;
  readonly region_name: string;
  readonly cpu: number;
  readonly ram_mib: number;
  readonly disk: number;
  readonly gpu: string;
  readonly gpu_count: number;
  readonly stock_available: boolean;
  readonly created_at: Date;
}

export function flavorFields(row: FlavorRow): FlavorFields {
  return {
    id: row.id,
    name: row.name,
    display_name: row.display_name ?? row.name,
    region_name: row.region_name,
    cpu: row.cpu,
    ram: row.ram_mib / 1024,
    disk: row.disk,
    ephemeral: 0,
    gpu: row.gpu,
    gpu_count: row.gpu_count,
    stock_available: row.stock_available,
    features: FLAVOR_FEATURES,
    labels: [],
    created_at: apiTime(row.created_at),
  };
}
