/** What callers may send about roles. Policies and permissions are named by the ids that their lists give. */
import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { ArrayMaxSize, IsInt, IsOptional, IsString, Matches, MaxLength } from 'class-validator';
import { IsPlainText } from '../http/plain-text.js';

const MOST_GRANTS = 500;

export class CreateUpdateRole {
  @ApiProperty({ minLength: 1, maxLength: 200, description: 'Unique in the organization.', example: 'operators' })
  @Matches(/\S/, { message: 'name may not be blank' })
  @IsPlainText()
  @MaxLength(200)
  @IsString()
  name: string;

  @ApiProperty({ maxLength: 1000, example: 'Start and stop, nothing else' })
  @IsPlainText()
  @MaxLength(1000)
  @IsString()
  description: string;

  @ApiPropertyOptional({ type: [Number], description: 'Ids of permissions; see /v1/auth/permissions.' })
  @IsOptional()
  @ArrayMaxSize(MOST_GRANTS)
  @IsInt({ each: true })
  permissions?: number[];

  @ApiPropertyOptional({ type: [Number], description: 'Ids of policies; see /v1/auth/policies.' })
  @IsOptional()
  @ArrayMaxSize(MOST_GRANTS)
  @IsInt({ each: true })
  policies?: number[];
}

export class AssignRole {
  @ApiProperty({ type: 'integer', minimum: 1, description: 'Of a role of the organization. It replaces the one before.' })
  @IsInt()
  role_id: number;
}
