/** What clients send about firewalls. */
import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { ArrayMaxSize, ArrayUnique, IsArray, IsInt, IsOptional, IsString, Length, Max, MaxLength, Min } from 'class-validator';
import { SearchQuery } from '../http/page-query.js';
import { IsPlainText } from '../http/plain-text.js';

const LARGEST_ID = 2 ** 31 - 1;

export class CreateFirewallPayload {
  @ApiProperty({ type: 'integer' })
  @IsInt()
  @Min(1)
  @Max(LARGEST_ID)
  environment_id: number;

  @ApiProperty({ minLength: 1, maxLength: 50 })
  @IsString()
  @Length(1, 50)
  @IsPlainText()
  name: string;

  @ApiPropertyOptional({ maxLength: 150 })
  @IsOptional()
  @IsString()
  @MaxLength(150)
  @IsPlainText()
  description?: string;
}

export class FirewallSearch extends SearchQuery {
  @ApiPropertyOptional({ description: 'Name or id of an environment.' })
  @IsOptional()
  @IsString()
  @MaxLength(50)
  @IsPlainText()
  environment?: string;
}

export class AttachFirewallWithVM {
  @ApiProperty({ type: [Number], maxItems: 500, description: 'The whole set; the firewall is detached from all others.' })
  @IsArray()
  @ArrayMaxSize(500)
  @ArrayUnique()
  @IsInt({ each: true })
  @Min(1, { each: true })
  @Max(LARGEST_ID, { each: true })
  vms: number[];
}

export class AttachFirewallsToVMPayload {
  @ApiProperty({ type: [Number], maxItems: 20, description: 'The whole set; what is left out is detached.' })
  @IsArray()
  @ArrayMaxSize(20)
  @ArrayUnique()
  @IsInt({ each: true })
  @Min(1, { each: true })
  @Max(LARGEST_ID, { each: true })
  firewalls: number[];
}
