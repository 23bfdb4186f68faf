/** What callers may send about snapshots. */
import { applyDecorators } from '@nestjs/common';
import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsString, Matches, MaxLength, MinLength, ValidateBy } from 'class-validator';
import { IsLabels } from '../http/labels.js';
import { IsPlainText } from '../http/plain-text.js';
import { VM_NAME_PATTERN, VM_NAME_RULE } from '../virtual-machines/vm-names.js';

export const MAX_SNAPSHOT_NAME_LENGTH = 50;

/** Infrahub's names are in paths too (`name-availability/{name}`). */
const IsName = (): PropertyDecorator =>
  applyDecorators(
    Matches(/^[^/\\]*$/, { message: '$property may not contain slashes' }),
    Matches(/^\S(.*\S)?$/s, { message: '$property may not begin or end with a space' }),
    IsPlainText(),
    MaxLength(MAX_SNAPSHOT_NAME_LENGTH),
    MinLength(1),
    IsString(),
  );

export class CreateSnapshotPayload {
  @ApiProperty({ minLength: 1, maxLength: MAX_SNAPSHOT_NAME_LENGTH, description: 'Unique in the organization.' })
  @IsName()
  name: string;

  @ApiProperty({ maxLength: 250 })
  @IsPlainText()
  @MaxLength(250)
  @IsString()
  description: string;

  @IsLabels()
  labels?: string[];
}

export class SnapshotRestoreRequest {
  @ApiProperty({ maxLength: 50, description: 'Of the virtual machine that is made of it.' })
  @Matches(VM_NAME_PATTERN, { message: `new_vm_name ${VM_NAME_RULE}` })
  new_vm_name: string;

  @ApiPropertyOptional({ type: 'integer', nullable: true, enum: [null], description: 'Contracts are not offered.' })
  @ValidateBy({
    name: 'notOffered',
    validator: {
      validate: (value: unknown) => value === undefined || value === null,
      defaultMessage: () => 'contract_id: contracts are not offered; leave it out',
    },
  })
  contract_id?: null;
}

export class CreateImagePayload {
  @ApiProperty({ minLength: 1, maxLength: MAX_SNAPSHOT_NAME_LENGTH, description: 'Of the image: unique among those that you see.' })
  @IsName()
  name: string;

  @IsLabels()
  labels?: string[];
}
