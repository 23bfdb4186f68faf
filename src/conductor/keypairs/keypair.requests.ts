/** What callers may send about keypairs. */
import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsOptional, IsString, Matches, MaxLength, MinLength } from 'class-validator';
import { SearchQuery } from '../http/page-query.js';
import { IsPlainText } from '../http/plain-text.js';

const MAX_NAME_LENGTH = 50;

export class UpdateKeypairName {
  @ApiProperty({ minLength: 1, maxLength: MAX_NAME_LENGTH, example: 'laptop' })
  @Matches(/^\S(.*\S)?$/s, { message: 'name may not begin or end with a space' })
  @IsPlainText()
  @MaxLength(MAX_NAME_LENGTH)
  @MinLength(1)
  @IsString()
  name: string;
}

export class ImportKeypair extends UpdateKeypairName {
  @ApiProperty({ description: 'Name of the environment whose VMs may be given the key.', example: 'demo' })
  @IsPlainText()
  @MaxLength(MAX_NAME_LENGTH)
  @MinLength(1)
  @IsString()
  environment_name: string;

  @ApiProperty({ description: 'One line, as in a .pub file of OpenSSH.', example: 'ssh-ed25519 AAAAC3Nz… you@laptop' })
  @MaxLength(16 * 1024)
  @IsString()
  public_key: string;
}

export class KeypairSearch extends SearchQuery {
  @ApiPropertyOptional({ description: 'Part of the name, in any case.' })
  @IsOptional()
  @IsPlainText()
  declare search?: string;
}
