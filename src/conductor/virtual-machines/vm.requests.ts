/** What clients send to `/v1/core/virtual-machines`. Names and types are Infrahub's, additions are marked. */
import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { Transform, Type } from 'class-transformer';
import {
  ArrayMaxSize,
  ArrayUnique,
  IsArray,
  IsBoolean,
  IsInt,
  IsOptional,
  IsString,
  Length,
  Matches,
  Max,
  MaxLength,
  Min,
} from 'class-validator';
import { MaxBytes } from '../http/max-bytes.js';
import { IsListOfNested, IsNested } from '../http/nested.js';
import { SearchQuery } from '../http/page-query.js';
import { IsQueryBoolean } from '../http/query-boolean.js';
import { ProfileObjectFields } from '../profiles/profile.requests.js';
import { CreateSecurityRulePayload } from '../security-rules/security-rule.dto.js';
import { FlavorObjectFields, IsCustomSize } from './size.request.js';
import { VM_NAME_PATTERN, VM_NAME_RULE } from './vm-names.js';

const LABEL_PATTERN = /^[^\p{C}/]{1,64}$/u;
const LABEL_RULE = 'each label must have 1 to 64 printable characters and no slash';

/** Of any number of lines, but no NUL and no half of a surrogate pair: neither can be stored. */
const STORABLE_TEXT = /^[^\0\p{Cs}]*$/u;

/** 64 KiB, as the metadata service and cloud-init take it. */
const USER_DATA_BYTES = 65_536;

export class CreateInstancesPayload {
  @ApiPropertyOptional({ maxLength: 50, description: 'Without one, a memorable name is assigned.' })
  @IsOptional()
  @Matches(VM_NAME_PATTERN, { message: `name ${VM_NAME_RULE}` })
  name?: string;

  @ApiProperty({ description: 'Decides the region too.' })
  @IsString()
  @Length(1, 50)
  environment_name: string;

  @ApiPropertyOptional({ description: 'Needed unless flavor is given.' })
  @IsOptional()
  @IsString()
  @Length(1, 100)
  flavor_name?: string | null;

  @IsCustomSize()
  flavor?: FlavorObjectFields | null;

  @ApiPropertyOptional({ description: 'Needed unless volume_name is given.' })
  @IsOptional()
  @IsString()
  @Length(1, 100)
  image_name?: string | null;

  @ApiPropertyOptional({ maxLength: 50, description: 'A bootable volume of the environment, to boot from in place of an image.' })
  @IsOptional()
  @IsString()
  @MaxLength(50)
  volume_name?: string | null;

  @ApiPropertyOptional({ description: 'One keypair of the environment; needed unless key_names is given.' })
  @IsOptional()
  @IsString()
  @Length(1, 50)
  key_name?: string;

  @ApiPropertyOptional({ type: [String], maxItems: 20, description: 'Several keypairs. An addition of Baton.' })
  @IsOptional()
  @IsArray()
  @ArrayMaxSize(20)
  @ArrayUnique()
  @IsString({ each: true })
  @Length(1, 50, { each: true })
  key_names?: string[];

  @ApiPropertyOptional({ type: 'integer', minimum: 1, maximum: 20, default: 1, description: 'Named NAME-1, NAME-2, …' })
  @IsOptional()
  @IsInt()
  @Min(1)
  @Max(20, { message: 'count must not be greater than 20; send several requests for more' })
  count?: number;

  @ApiPropertyOptional({ type: [String], maxItems: 20 })
  @IsOptional()
  @IsArray()
  @ArrayMaxSize(20)
  @ArrayUnique()
  @Matches(LABEL_PATTERN, { each: true, message: LABEL_RULE })
  labels?: string[];

  @ApiPropertyOptional({ description: 'For cloud-init, as plain text, at most 64 KiB.' })
  @IsOptional()
  @IsString()
  @MaxBytes(USER_DATA_BYTES)
  @Matches(STORABLE_TEXT, { message: 'user_data must be text, without NUL characters' })
  user_data?: string;

  @ApiPropertyOptional({ maxLength: 250, description: 'Gets one signed POST for each change of status.' })
  @IsOptional()
  @IsString()
  @MaxLength(250)
  callback_url?: string;

  @ApiPropertyOptional({ description: 'Keeps this request as a profile too, under this name.' })
  @IsOptional()
  @IsNested(() => ProfileObjectFields)
  profile?: ProfileObjectFields;

  @ApiPropertyOptional({ default: false })
  @IsOptional()
  @IsBoolean()
  assign_floating_ip?: boolean;

  @ApiPropertyOptional({ default: true })
  @IsOptional()
  @IsBoolean()
  enable_port_randomization?: boolean;

  @ApiPropertyOptional({ default: false, description: 'Makes the root disk a volume of its own, which outlives the VM.' })
  @IsOptional()
  @IsBoolean()
  create_bootable_volume?: boolean;

  @ApiPropertyOptional({ description: 'Every VM is monitored; accepted because clients send it.' })
  @IsOptional()
  @IsBoolean()
  enhanced_monitoring_enabled?: boolean;

  @ApiPropertyOptional({ type: [CreateSecurityRulePayload], maxItems: 50, description: 'Beside those that every VM has.' })
  @IsOptional()
  @ArrayMaxSize(50)
  @IsListOfNested(() => CreateSecurityRulePayload)
  security_rules?: CreateSecurityRulePayload[];
}

export class EditLabelPayload {
  @ApiProperty({ type: [String], maxItems: 20, description: 'The whole set; what is left out is taken off.' })
  @IsArray()
  @ArrayMaxSize(20)
  @ArrayUnique()
  @Matches(LABEL_PATTERN, { each: true, message: LABEL_RULE })
  labels: string[];
}

export class CreateQuery {
  @ApiPropertyOptional({ description: 'Says where the VMs would be placed, or why not, and creates nothing.' })
  @IsOptional()
  @IsQueryBoolean()
  dry_run?: boolean;
}

export class ListVmsQuery extends SearchQuery {
  @ApiPropertyOptional({ description: 'Part of the name of an environment, or its id.' })
  @IsOptional()
  @IsString()
  @MaxLength(50)
  environment?: string;

  @ApiPropertyOptional({ default: false, description: 'The environment is named in full.' })
  @IsOptional()
  @IsQueryBoolean()
  exact_environment_match?: boolean;

  @ApiPropertyOptional({ type: [Number], description: 'VMs that none of these firewalls is attached to; ids, repeated or separated by commas.' })
  @IsOptional()
  @Transform(({ value }) => [value].flat().flatMap((item: string) => String(item).split(',')).map(Number))
  @ArrayMaxSize(100)
  @IsInt({ each: true })
  @Min(1, { each: true })
  @Max(2 ** 31 - 1, { each: true })
  exclude_firewalls?: number[];

  @ApiPropertyOptional({ type: [String], description: 'VMs that carry all of these labels. An addition of Baton.' })
  @IsOptional()
  @Transform(({ value }) => [value].flat())
  @ArrayMaxSize(20)
  @Matches(LABEL_PATTERN, { each: true, message: LABEL_RULE })
  label?: string[];
}

export class NameAvailabilityQuery {
  @ApiPropertyOptional({ type: 'integer', minimum: 1, maximum: 20, default: 1 })
  @IsOptional()
  @Type(() => Number)
  @IsInt()
  @Min(1)
  @Max(20)
  count?: number;
}
