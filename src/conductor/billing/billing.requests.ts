/** What may be asked about usage. */
import { ApiPropertyOptional } from '@nestjs/swagger';
import { Type } from 'class-transformer';
import { IsIn, IsInt, IsOptional, IsString, Max, MaxLength, Min } from 'class-validator';
import type { Page } from '../http/envelope.js';
import { MAX_PAGE_SIZE } from '../http/page-query.js';
import { IsPlainText } from '../http/plain-text.js';
import { IsQueryBoolean } from '../http/query-boolean.js';
import { WindowQuery } from './window.js';

export class OrganizationHistoryQuery extends WindowQuery {
  @ApiPropertyOptional({ enum: ['false'], description: 'Graphs are of single virtual machines and volumes.' })
  @IsOptional()
  @IsIn(['false', 'False', '0', ''], { message: 'graph can only be false: graphs are of single virtual machines and volumes' })
  graph?: string;
}

export class HistoryQuery extends WindowQuery {
  @ApiPropertyOptional({ description: 'Part of the name, in any case.' })
  @IsOptional()
  @IsString()
  @MaxLength(100)
  @IsPlainText()
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

export class UsageQuery {
  @ApiPropertyOptional({ type: Boolean, description: 'Only what is deleted, or only what is not. Default: both.' })
  @IsOptional()
  @IsQueryBoolean()
  deleted?: boolean;

  @ApiPropertyOptional({ description: 'Name of an environment.' })
  @IsOptional()
  @IsString()
  @MaxLength(100)
  @IsPlainText()
  environment?: string;
}

export function historyPage({ page, per_page }: HistoryQuery): Page | undefined {
  if (page === undefined && per_page === undefined) return undefined;
  return { page: page ?? 1, pageSize: per_page ?? 10 };
}
