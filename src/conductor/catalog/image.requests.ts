/** What callers may ask of the list of images. */
import { ApiPropertyOptional } from '@nestjs/swagger';
import { Transform, Type } from 'class-transformer';
import { IsBoolean, IsInt, IsOptional, IsString, Max, MaxLength, Min } from 'class-validator';
import type { Page } from '../http/envelope.js';
import { MAX_PAGE_SIZE } from '../http/page-query.js';
import { IsPlainText } from '../http/plain-text.js';
import { RegionFilter } from './region-filter.js';

const TRUTH: Readonly<Record<string, boolean>> = { true: true, false: false, '1': true, '0': false };

export class ImageSearch extends RegionFilter {
  @ApiPropertyOptional({ type: Boolean, default: true, description: 'Whether to list public images beside your own.' })
  @Transform(({ value }: { value: unknown }) => TRUTH[String(value).toLowerCase()] ?? value)
  @IsBoolean({ message: 'include_public must be true or false' })
  include_public: boolean = true;

  @ApiPropertyOptional({ description: 'Part of the name, in any case.' })
  @IsOptional()
  @IsPlainText()
  @MaxLength(100)
  @IsString()
  search?: string;

  @ApiPropertyOptional({ type: 'integer', minimum: 1, description: 'Counted from 1.' })
  @IsOptional()
  @Type(() => Number)
  @IsInt()
  @Min(1)
  @Max(1_000_000)
  page?: number;

  @ApiPropertyOptional({ type: 'integer', minimum: 1, maximum: MAX_PAGE_SIZE })
  @IsOptional()
  @Type(() => Number)
  @IsInt()
  @Min(1)
  @Max(MAX_PAGE_SIZE)
  per_page?: number;
}

/** A page counts images, not their groups. */
export function imagePageOf({ page, per_page }: ImageSearch): Page | undefined {
  if (page === undefined && per_page === undefined) return undefined;
  return { page: page ?? 1, pageSize: per_page ?? 10 };
}
