/** `page` and `pageSize`, as Infrahub's lists have them; without both, a list is given whole (its clients rely on it). */
import { ApiPropertyOptional } from '@nestjs/swagger';
import { Type } from 'class-transformer';
import { IsInt, IsOptional, IsString, Max, MaxLength, Min } from 'class-validator';
import type { Page } from './envelope.js';
import { IsPlainText } from './plain-text.js';

export const MAX_PAGE_SIZE = 1000;

export class PageQuery {
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
  pageSize?: number;

  @ApiPropertyOptional({ type: 'integer', description: 'Another spelling of pageSize.' })
  @IsOptional()
  @Type(() => Number)
  @IsInt()
  @Min(1)
  @Max(MAX_PAGE_SIZE)
  page_size?: number;
}

export class SearchQuery extends PageQuery {
  @ApiPropertyOptional({ description: 'Part of the name, in any case.' })
  @IsOptional()
  @IsString()
  @MaxLength(100)
  @IsPlainText()
  search?: string;
}

export function pageOf(query: PageQuery): Page | undefined {
  const pageSize = query.pageSize ?? query.page_size;
  if (query.page === undefined && pageSize === undefined) return undefined;
  return { page: query.page ?? 1, pageSize: pageSize ?? 10 };
}

/** For `ILIKE`: the user's text matches itself, not as a pattern. */
export const containing = (text: string): string => `%${text.replace(/[\\%_]/g, '\\$&')}%`;
