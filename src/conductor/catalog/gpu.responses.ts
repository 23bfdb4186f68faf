/** The GPU models that flavors offer, and what the console shows a new user first. */
import { ApiProperty } from '@nestjs/swagger';
import { apiTime, Envelope } from '../http/envelope.js';

export class GpuRegion {
  @ApiProperty({ type: 'integer' })
  id: number;

  @ApiProperty()
  name: string;
}

export class GpuFields {
  @ApiProperty({ type: 'integer', description: 'The id of the first flavor that offered the model.' })
  id: number;

  @ApiProperty()
  name: string;

  @ApiProperty({ description: 'Always empty.' })
  example_metadata: string;

  @ApiProperty({ type: [GpuRegion], description: 'Where a flavor offers it.' })
  regions: GpuRegion[];

  @ApiProperty({ format: 'date-time' })
  created_at: string;

  @ApiProperty({ format: 'date-time' })
  updated_at: string;
}

export class GpusResponse extends Envelope {
  @ApiProperty({ type: [GpuFields] })
  gpu_list: GpuFields[];

  constructor(gpus: GpuFields[]) {
    super('Getting GPUs successful');
    this.gpu_list = gpus;
  }
}

export interface GpuRow {
  readonly id: number;
  readonly name: string;
  readonly regions: GpuRegion[];
  readonly created_at: Date;
  readonly updated_at: Date;
}

export const gpuFields = (row: GpuRow): GpuFields => ({
  id: row.id,
  name: row.name,
  example_metadata: '',
  regions: row.regions,
  created_at: apiTime(row.created_at),
  updated_at: apiTime(row.updated_at),
});
