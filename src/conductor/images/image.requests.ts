/** What callers may send about images of their own. */
import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsIn, IsInt, IsOptional, IsString, Matches, Max, MaxLength, Min, MinLength, ValidateIf } from 'class-validator';
import { IMAGE_FORMATS, type ImageFormat } from '../../image-format/disk-image.js';
import { IsLabels } from '../http/labels.js';
import { IsPlainText } from '../http/plain-text.js';

const MAX_IMAGE_NAME_LENGTH = 50;

const MAX_URL_LENGTH = 2048;
const MAX_MINIMUM_DISK_GIB = 65_536;

export class RegisterImagePayload {
  @ApiProperty({ maxLength: MAX_IMAGE_NAME_LENGTH, description: 'Unique among your images of the region. A public one of the same name is hidden by it.' })
  @Matches(/^[^/\\]*$/, { message: 'name may not contain slashes' })
  @IsPlainText()
  @MaxLength(MAX_IMAGE_NAME_LENGTH)
  @MinLength(1)
  @IsString()
  name: string;

  @ApiProperty({ description: 'Where VMs can be made of it.' })
  @MaxLength(50)
  @IsString()
  region_name: string;

  @ApiProperty({ enum: IMAGE_FORMATS, description: 'Of the file. Nothing is guessed: another format than declared is refused.' })
  @IsIn(IMAGE_FORMATS)
  format: ImageFormat;

  @ApiPropertyOptional({ description: 'Where a compute node shall download the file from. Without it you upload the file.' })
  @IsOptional()
  @MaxLength(MAX_URL_LENGTH)
  @MinLength(1)
  @IsString()
  url?: string;

  @ApiPropertyOptional({ description: 'SHA-256 or SHA-512 of the file, in hex. Needed with a url; checked when it is given with an upload.' })
  @ValidateIf((body: RegisterImagePayload) => (body.url ?? null) !== null || (body.checksum ?? null) !== null)
  @Matches(/^(sha256:)?[0-9a-f]{64}$|^(sha512:)?[0-9a-f]{128}$/i, { message: 'checksum must be the SHA-256 or SHA-512 of the file, in hex' })
  checksum?: string;

  @ApiPropertyOptional({ default: 'Custom', description: 'The distribution, by which images are grouped.' })
  @IsOptional()
  @IsPlainText()
  @MaxLength(50)
  @MinLength(1)
  @IsString()
  type?: string;

  @ApiPropertyOptional({ default: '' })
  @IsOptional()
  @IsPlainText()
  @MaxLength(50)
  @IsString()
  version?: string;

  @ApiPropertyOptional()
  @IsOptional()
  @IsPlainText()
  @MaxLength(200)
  @IsString()
  description?: string;

  @ApiPropertyOptional({ type: 'integer', description: 'GB that the disk of a VM must have at least. What the image unpacks to is needed in any case.' })
  @IsOptional()
  @Max(MAX_MINIMUM_DISK_GIB)
  @Min(1)
  @IsInt()
  minimum_disk?: number;

  @IsLabels()
  labels?: string[];
}
