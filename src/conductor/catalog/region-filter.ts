/**
 * `?region=`: a region's name. Infrahub's Terraform provider sends it between literal quotes, which are taken off.
 * A name that no region has is an error and not an empty list, which would hide the typing mistake.
 */
import { ApiPropertyOptional } from '@nestjs/swagger';
import { Transform } from 'class-transformer';
import { IsOptional, IsString, MaxLength } from 'class-validator';
import type { DataSource } from 'typeorm';
import { ApiError } from '../http/api-error.js';
import { IsPlainText } from '../http/plain-text.js';

export const unquoted = (text: string): string => text.replace(/^"(.*)"$/s, '$1');

export class RegionFilter {
  @ApiPropertyOptional({ example: 'default-1' })
  @Transform(({ value }: { value: unknown }) => (typeof value === 'string' ? unquoted(value) : value))
  @IsOptional()
  @IsPlainText()
  @MaxLength(100)
  @IsString()
  region?: string;
}

/** @returns its argument, or undefined for the empty name, which several clients send for "any". */
export async function knownRegion(dataSource: DataSource, name: string | undefined): Promise<string | undefined> {
  if (name === undefined || name === '') return undefined;
  const rows = await dataSource.query<unknown[]>('SELECT 1 FROM region WHERE name = $1', [name]);
  if (rows.length === 0) throw new ApiError(404, `There is no region '${name}'. GET /v1/core/regions lists them.`);
  return name;
}
