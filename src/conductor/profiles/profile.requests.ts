/** What callers may send about profiles. */
import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsOptional, IsString, Length, MaxLength, registerDecorator } from 'class-validator';
import { IsPlainText } from '../http/plain-text.js';
import type { ProfileData } from './profile.entity.js';

const MAX_FIELDS = 50;
const MAX_FIELD_NAME = 100;
/** User data of 64 KiB, escaped, and what stands beside it. */
const MAX_DATA_BYTES = 160 * 1024;
/** NUL and half of a surrogate pair cannot be stored. */
const STORABLE = /^[^\0\p{Cs}]*$/u;

/** @returns what is wrong with it, in words; undefined when nothing is. */
export function dataProblem(data: unknown): string | undefined {
  if (typeof data !== 'object' || data === null || Array.isArray(data)) return 'data must be an object of texts';
  const fields = Object.entries(data);
  if (fields.length > MAX_FIELDS) return `data may have at most ${MAX_FIELDS} fields`;
  for (const [name, value] of fields) {
    if (name.length > MAX_FIELD_NAME || !STORABLE.test(name)) return 'data has a field whose name is too long or cannot be stored';
    if (typeof value !== 'string') return `data: ${name} must be a text; write lists and objects as JSON`;
    if (!STORABLE.test(value)) return `data: ${name} has characters that cannot be stored`;
  }
  return Buffer.byteLength(JSON.stringify(data)) > MAX_DATA_BYTES ? `data must not be larger than ${MAX_DATA_BYTES} bytes` : undefined;
}

const IsProfileData = (): PropertyDecorator => (target, property) =>
  registerDecorator({
    name: 'profileData',
    target: target.constructor,
    propertyName: property as string,
    validator: {
      validate: (value: unknown) => dataProblem(value) === undefined,
      defaultMessage: (args) => dataProblem(args?.value) ?? '',
    },
  });

/** Name and description: also what a request for VMs may carry to be kept as a profile. */
export class ProfileObjectFields {
  @ApiProperty({ maxLength: 50 })
  @IsPlainText()
  @Length(1, 50)
  @IsString()
  name: string;

  @ApiPropertyOptional({ maxLength: 150 })
  @IsOptional()
  @IsPlainText()
  @MaxLength(150)
  @IsString()
  description?: string;
}

export class CreateProfilePayload extends ProfileObjectFields {
  @ApiProperty({ type: 'object', additionalProperties: { type: 'string' }, example: { flavor_name: 'tiny-1' } })
  @IsProfileData()
  data: ProfileData;
}
