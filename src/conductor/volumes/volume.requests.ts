/** What callers may send about volumes. */
import { applyDecorators } from '@nestjs/common';
import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import {
  ArrayMaxSize,
  ArrayMinSize,
  ArrayUnique,
  IsArray,
  IsBoolean,
  IsIn,
  IsInt,
  IsOptional,
  IsString,
  Matches,
  Max,
  MaxLength,
  Min,
  MinLength,
} from 'class-validator';
import { SearchQuery } from '../http/page-query.js';
import { IsPlainText } from '../http/plain-text.js';

export const VOLUME_TYPES = ['Cloud-SSD'] as const;
/** As many as one VM may have. */
export const MOST_VOLUMES = 10;
export const MAX_VOLUME_NAME_LENGTH = 50;

const MAX_ENVIRONMENT_NAME_LENGTH = 50;
const MAX_SIZE_GIB = 1_048_576;
const LARGEST_ID = 2 ** 31 - 1;

const IsVolumeIds = (): PropertyDecorator =>
  applyDecorators(
    Max(LARGEST_ID, { each: true }),
    Min(1, { each: true }),
    IsInt({ each: true }),
    ArrayUnique(),
    ArrayMaxSize(MOST_VOLUMES),
    ArrayMinSize(1),
    IsArray(),
  );

export class ListVolumes extends SearchQuery {
  @ApiPropertyOptional({ description: 'Name or id of an environment.' })
  @IsOptional()
  @IsString()
  @MaxLength(MAX_ENVIRONMENT_NAME_LENGTH)
  @IsPlainText()
  environment?: string;
}

export class UpdateVolumePayload {
  @ApiPropertyOptional({ description: 'Another environment of the same region, for a volume that is not attached.' })
  @IsOptional()
  @IsPlainText()
  @MaxLength(MAX_ENVIRONMENT_NAME_LENGTH)
  @MinLength(1)
  @IsString()
  environment_name?: string;

  @ApiPropertyOptional({ type: 'integer', maximum: MAX_SIZE_GIB, description: 'GiB, more than it has. An addition of Baton.' })
  @IsOptional()
  @Max(MAX_SIZE_GIB)
  @Min(1)
  @IsInt()
  size?: number;
}

export class CreateVolumePayload {
  @ApiProperty({ minLength: 1, maxLength: MAX_VOLUME_NAME_LENGTH, description: 'Unique in its environment.' })
  @Matches(/^\S(.*\S)?$/s, { message: 'name may not begin or end with a space' })
  @IsPlainText()
  @MaxLength(MAX_VOLUME_NAME_LENGTH)
  @MinLength(1)
  @IsString()
  name: string;

  @ApiProperty({ description: 'Decides the region too.' })
  @IsPlainText()
  @MaxLength(MAX_ENVIRONMENT_NAME_LENGTH)
  @MinLength(1)
  @IsString()
  environment_name: string;

  @ApiProperty({ type: 'integer', minimum: 1, maximum: MAX_SIZE_GIB, description: 'GiB.' })
  @Max(MAX_SIZE_GIB)
  @Min(1)
  @IsInt()
  size: number;

  @ApiProperty({ enum: VOLUME_TYPES })
  @IsIn(VOLUME_TYPES)
  volume_type: (typeof VOLUME_TYPES)[number];

  @ApiPropertyOptional({ maxLength: 250 })
  @IsOptional()
  @IsPlainText()
  @MaxLength(250)
  @IsString()
  description?: string | null;

  @ApiPropertyOptional({ type: 'integer', nullable: true, description: 'An image of the region, to boot virtual machines from the volume. 0 is none.' })
  @IsOptional()
  @Max(LARGEST_ID)
  @Min(0)
  @IsInt()
  image_id?: number | null;

  @ApiPropertyOptional({ type: String, nullable: true, maxLength: 250, description: 'Gets one signed POST for each change of status.' })
  @IsOptional()
  @MaxLength(250)
  @IsString()
  callback_url?: string | null;
}

export class AttachVolumesPayload {
  @ApiProperty({ type: [Number], minItems: 1, maxItems: MOST_VOLUMES })
  @IsVolumeIds()
  volume_ids: number[];

  @ApiPropertyOptional({ default: false, description: 'A protected attachment cannot be detached.' })
  @IsOptional()
  @IsBoolean()
  protected?: boolean;
}

export class DetachVolumesPayload {
  @ApiProperty({ type: [Number], minItems: 1, maxItems: MOST_VOLUMES })
  @IsVolumeIds()
  volume_ids: number[];
}

export class UpdateVolumeAttachmentPayload {
  @ApiProperty()
  @IsBoolean()
  protected: boolean;
}
