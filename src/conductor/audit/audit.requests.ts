/** What may be asked of the audit. */
import { ApiPropertyOptional } from '@nestjs/swagger';
import { Type } from 'class-transformer';
import { IsInt, IsOptional, IsString, Max, MaxLength, Min } from 'class-validator';
import { IsPlainText } from '../http/plain-text.js';
import { PageQuery } from '../http/page-query.js';

const LARGEST_ID = 2 ** 31 - 1;

export class AuditQuery extends PageQuery {
  @ApiPropertyOptional({ description: 'UTC, as 2026-01-31T00:00:00.' })
  @IsOptional()
  @IsString()
  @MaxLength(40)
  start_date?: string;

  @ApiPropertyOptional({ description: 'UTC; not part of the time itself.' })
  @IsOptional()
  @IsString()
  @MaxLength(40)
  end_date?: string;

  @ApiPropertyOptional({ type: 'integer', minimum: 1 })
  @IsOptional()
  @Type(() => Number)
  @IsInt()
  @Min(1)
  @Max(LARGEST_ID)
  user_id?: number;

  @ApiPropertyOptional({ description: 'Kind of resource, such as virtual-machine.' })
  @IsOptional()
  @IsString()
  @MaxLength(50)
  @IsPlainText()
  resource?: string;

  @ApiPropertyOptional({ type: 'integer', minimum: 1 })
  @IsOptional()
  @Type(() => Number)
  @IsInt()
  @Min(1)
  @Max(LARGEST_ID)
  resource_id?: number;

  @ApiPropertyOptional({ description: 'The x-request-id of an answer.' })
  @IsOptional()
  @IsString()
  @MaxLength(100)
  @IsPlainText()
  request_id?: string;
}
