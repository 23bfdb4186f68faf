/** How a request says the size of a VM: by the name of a flavor, or by a size made to measure. */
import { applyDecorators } from '@nestjs/common';
import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { Transform } from 'class-transformer';
import { IsInt, IsNumber, IsOptional, IsString, Matches, Max, Min } from 'class-validator';
import { badRequest } from '../http/api-error.js';
import { IsNested } from '../http/nested.js';

/** Of a size made to measure. What a node has is the limit; these only keep numbers sane. */
export const CUSTOM_FLAVOR_LIMITS = { mostVcpus: 512, leastRamGb: 0.125, mostRamGb: 16_384, mostDiskGb: 65_536, mostGpus: 64, gpuModel: /^[\w.+-]{0,60}$/ } as const;

/** A size made to measure. */
export class FlavorObjectFields {
  @ApiProperty({ type: 'integer', minimum: 1, maximum: CUSTOM_FLAVOR_LIMITS.mostVcpus })
  @IsInt()
  @Min(1)
  @Max(CUSTOM_FLAVOR_LIMITS.mostVcpus)
  cpu: number;

  @ApiProperty({ minimum: CUSTOM_FLAVOR_LIMITS.leastRamGb, maximum: CUSTOM_FLAVOR_LIMITS.mostRamGb, description: 'GB, in steps of 1/1024.' })
  @IsNumber()
  @Min(CUSTOM_FLAVOR_LIMITS.leastRamGb)
  @Max(CUSTOM_FLAVOR_LIMITS.mostRamGb)
  ram: number;

  @ApiProperty({ type: 'integer', minimum: 1, maximum: CUSTOM_FLAVOR_LIMITS.mostDiskGb, description: 'GB.' })
  @IsInt()
  @Min(1)
  @Max(CUSTOM_FLAVOR_LIMITS.mostDiskGb)
  disk: number;

  @ApiPropertyOptional({ description: 'Model; needs gpu_count too.' })
  @IsOptional()
  @IsString()
  @Matches(CUSTOM_FLAVOR_LIMITS.gpuModel, { message: 'gpu must be the name of a GPU model' })
  gpu?: string | null;

  @ApiPropertyOptional({ type: 'integer', minimum: 0, maximum: CUSTOM_FLAVOR_LIMITS.mostGpus, default: 0 })
  @IsOptional()
  @IsInt()
  @Min(0)
  @Max(CUSTOM_FLAVOR_LIMITS.mostGpus)
  gpu_count?: number | null;
}

/** Terraform's provider sends `{}` beside every flavor_name. */
const isEmpty = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && Object.values(value).every((field) => field === null || field === undefined);

export const IsCustomSize = (): PropertyDecorator =>
  applyDecorators(
    ApiPropertyOptional({ type: FlavorObjectFields, nullable: true, description: 'A size made to measure, in place of flavor_name. Without a field it is none.' }),
    IsOptional(),
    Transform(({ value }: { value: unknown }) => (isEmpty(value) ? undefined : value)),
    IsNested(() => FlavorObjectFields),
  );

export interface WantedSize {
  readonly flavor_name?: string | null;
  readonly flavor?: FlavorObjectFields | null;
}

/** @throws ApiError 400 for a request with no size, or with two. */
export function requireOneSize({ flavor, flavor_name }: WantedSize): void {
  if (flavor && flavor_name) throw badRequest('Either flavor_name or flavor: the virtual machine has one size.');
  if (!flavor && !flavor_name) throw badRequest('flavor_name is required, unless flavor says the size.');
}
