/** What callers may send about environments. */
import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsOptional, IsString, MaxLength, MinLength } from 'class-validator';
import { SearchQuery } from '../http/page-query.js';
import { IsPlainText } from '../http/plain-text.js';
import { IsEnvironmentName, MAX_ENVIRONMENT_NAME_LENGTH } from './environment-name.js';

export class UpdateEnvironment {
  @ApiProperty({ maxLength: MAX_ENVIRONMENT_NAME_LENGTH, example: 'staging' })
  @IsEnvironmentName()
  name: string;
}

export class CreateEnvironment extends UpdateEnvironment {
  @ApiProperty({ example: 'default-1', description: 'Name of the region that all its VMs will stand in.' })
  @IsPlainText()
  @MaxLength(100)
  @MinLength(1)
  @IsString()
  region: string;
}

export class EnvironmentSearch extends SearchQuery {
  @ApiPropertyOptional({ description: 'The id, or part of the name or of the region, in any case.' })
  @IsOptional()
  @IsPlainText()
  declare search?: string;
}
