/** What may be asked about usage. */
import { applyDecorators } from '@nestjs/common';
import { ApiPropertyOptional } from '@nestjs/swagger';
import { Type } from 'class-transformer';
import { IsIn, IsInt, IsOptional, IsString, Max, MaxLength, Min } from 'class-validator';
import type { Page } from '../http/envelope.js';
import { MAX_PAGE_SIZE } from '../http/page-query.js';
import { IsPlainText } from '../http/plain-text.js';
import { IsQueryBoolean } from '../http/query-boolean.js';
import { WindowQuery } from './window.js';

const DEFAULT_PAGE_SIZE = 10;

export class OrganizationHistoryQuery extends WindowQuery {
  @ApiPropertyOptional({ enum: ['false'], description: 'Graphs are of single virtual machines and volumes.' })
  @IsOptional()
  @IsIn(['false', 'False', '0', ''], { message: 'graph can only be false: graphs are of single virtual machines and volumes' })
  graph?: string;
}

const OptionalNumber = (most: number): PropertyDecorator => applyDecorators(Max(most), Min(1), IsInt(), Type(() => Number), IsOptional());

const IsPageNumber = (): PropertyDecorator =>
  applyDecorators(OptionalNumber(1_000_000), ApiPropertyOptional({ type: 'integer', minimum: 1, description: 'Counted from 1.' }));

const IsPageSize = (): PropertyDecorator =>
  applyDecorators(
    OptionalNumber(MAX_PAGE_SIZE),
    ApiPropertyOptional({
      type: 'integer',
      minimum: 1,
      maximum: MAX_PAGE_SIZE,
      description: `Default: ${DEFAULT_PAGE_SIZE} where a page is named, else ${MAX_PAGE_SIZE}.`,
    }),
  );

export class HistoryQuery extends WindowQuery {
  @ApiPropertyOptional({ description: 'Part of the name, in any case.' })
  @IsOptional()
  @IsString()
  @MaxLength(100)
  @IsPlainText()
  search?: string;

  @IsPageNumber()
  page?: number;

  @IsPageSize()
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

  @IsPageNumber()
  page?: number;

  @IsPageSize()
  per_page?: number;
}

/** Never all: what is gone stays in the history, so that it grows without end. */
export function historyPage({ page, per_page }: Pick<HistoryQuery, 'page' | 'per_page'>): Page {
  return { page: page ?? 1, pageSize: per_page ?? (page === undefined ? MAX_PAGE_SIZE : DEFAULT_PAGE_SIZE) };
}
