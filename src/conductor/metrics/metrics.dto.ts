/** What goes in and comes out of `/v1/core/virtual-machines/{vm_id}/metrics`, and what a node tells. */
import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { ArrayMaxSize, IsIn, IsInt, IsOptional, IsUUID, Max, Min } from 'class-validator';
import type { IncarnationId, VmUuid } from '../../protocol/ids.js';
import { MOST_SAMPLES, type SampleBatch, type VmSample } from '../../protocol/metrics.js';
import { apiTime } from '../http/envelope.js';
import { IsListOfNested } from '../http/nested.js';
import { IsSession } from '../fleet/node-session.js';
import type { MetricRow } from './metrics.service.js';
import { DURATIONS, type Duration } from './resolutions.js';
import { IgnoresUnknownFields } from '../http/validation-pipe.js';

export class MetricsQuery {
  @ApiPropertyOptional({ enum: Object.keys(DURATIONS), description: 'How far back. Default: 1h.' })
  @IsOptional()
  @IsIn(Object.keys(DURATIONS))
  duration?: Duration;
}

class MetricPoint {
  @ApiProperty({ description: 'When the period began, in UTC.' })
  time: string;

  @ApiProperty({ type: 'integer', description: 'Length of the period in seconds.' })
  granularity: number;

  @ApiProperty({ description: 'What was used within the period; of memory, what was in use in the mean.' })
  value: number;
}

const COLUMNS = ['time', 'granularity', 'value'];

class MetricItemFields {
  @ApiProperty({ type: [String], example: COLUMNS })
  columns: string[];

  @ApiProperty({
    type: 'array',
    items: { type: 'array', items: { $ref: '#/components/schemas/MetricPoint' } },
    description: 'Oldest first. Each row is an array with one object, which has the columns as fields.',
  })
  data: MetricPoint[][];

  @ApiProperty({ example: 'ns' })
  unit: string;
}

/** Without an envelope, as Infrahub has it. */
export class MetricsFields {
  @ApiProperty({ type: MetricItemFields })
  cpu: MetricItemFields;

  @ApiProperty({ type: MetricItemFields })
  'memory.usages': MetricItemFields;

  @ApiProperty({ type: MetricItemFields })
  'disk.read': MetricItemFields;

  @ApiProperty({ type: MetricItemFields })
  'disk.write': MetricItemFields;

  @ApiProperty({ type: MetricItemFields })
  'network.in': MetricItemFields;

  @ApiProperty({ type: MetricItemFields })
  'network.out': MetricItemFields;
}

/** Which column, in which unit, is which metric. */
const METRICS: Readonly<Record<keyof MetricsFields, readonly [column: Exclude<keyof MetricRow, 'at'>, unit: string]>> = {
  cpu: ['cpu_ns', 'ns'],
  'memory.usages': ['memory_mib', 'MB'],
  'disk.read': ['disk_read_bytes', 'B'],
  'disk.write': ['disk_write_bytes', 'B'],
  'network.in': ['network_in_bytes', 'B'],
  'network.out': ['network_out_bytes', 'B'],
};

export const METRIC_SCHEMAS = [MetricPoint, MetricItemFields] as const;

export function renderMetrics(granularity: number, rows: readonly MetricRow[]): MetricsFields {
  const item = ([column, unit]: (typeof METRICS)[keyof MetricsFields]): MetricItemFields => ({
    columns: COLUMNS,
    // Objects, because the model says so and clients refuse anything else.
    data: rows.map((row) => [{ time: apiTime(row.at), granularity, value: Number(row[column]) }]),
    unit,
  });
  return Object.fromEntries(Object.entries(METRICS).map(([name, metric]) => [name, item(metric)])) as unknown as MetricsFields;
}

const MAX_INT = 2 ** 31 - 1;

class VmSampleBody implements VmSample {
  @IsUUID()
  vmUuid: VmUuid;

  @IsInt()
  @Min(1)
  @Max(MAX_INT)
  incarnationId: IncarnationId;

  @IsInt()
  @Min(0)
  @Max(2 ** 50)
  cpuNs: number;

  @IsInt()
  @Min(0)
  @Max(MAX_INT)
  memoryMib: number;

  @IsInt()
  @Min(0)
  @Max(2 ** 50)
  diskReadBytes: number;

  @IsInt()
  @Min(0)
  @Max(2 ** 50)
  diskWriteBytes: number;

  @IsInt()
  @Min(0)
  @Max(2 ** 50)
  networkInBytes: number;

  @IsInt()
  @Min(0)
  @Max(2 ** 50)
  networkOutBytes: number;
}

@IgnoresUnknownFields()
export class SampleBatchBody implements SampleBatch {
  @IsSession()
  session: number;

  @IsInt()
  @Min(1)
  @Max(MAX_INT)
  batch: number;

  @ArrayMaxSize(MOST_SAMPLES)
  @IsListOfNested(() => VmSampleBody)
  samples: VmSampleBody[];
}
