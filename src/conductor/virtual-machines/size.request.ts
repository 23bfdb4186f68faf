/** How a request says the size of a VM: by the name of a flavor, or by a size made to measure. */
import { applyDecorators } from '@nestjs/common';
import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { Transform } from 'class-transformer';
import { IsInt, IsNumber, IsOptional, IsString, Matches, Max, Min } from 'class-validator';
import { badRequest } from '../http/api-error.js';
import { IsNested } from '../http/nested.js';

const MOST_VCPUS = 512;
const MOST_RAM_GB = 16_384;
const MOST_DISK_GB = 65_536;
const MOST_GPUS = 64;

/** A size made to measure. What a node has is the limit; these only keep numbers sane. */
export class FlavorObjectFields {
  @ApiProperty({ type: 'integer', minimum: 1, maximum: MOST_VCPUS })
  @IsInt()
  @Min(1)
  @Max(MOST_VCPUS)
  cpu: number;

  @ApiProperty({ minimum: 0.125, maximum: MOST_RAM_GB, description: 'GB, in steps of 1/1024.' })
  @IsNumber()
  @Min(0.125)
  @Max(MOST_RAM_GB)
  ram: number;

  @ApiProperty({ type: 'integer', minimum: 1, maximum: MOST_DISK_GB, description: 'GB.' })
  @IsInt()
  @Min(1)
  @Max(MOST_DISK_GB)
  disk: number;

  @ApiPropertyOptional({ description: 'Model; needs gpu_count too.' })
  @IsOptional()
  @IsString()
  @Matches(/^[\w.+-]{0,60}$/, { message: 'gpu must be the name of a GPU model' })
  gpu?: string | null;

  @ApiPropertyOptional({ type: 'integer', minimum: 0, maximum: MOST_GPUS, default: 0 })
  @IsOptional()
  @IsInt()
  @Min(0)
  @Max(MOST_GPUS)
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
