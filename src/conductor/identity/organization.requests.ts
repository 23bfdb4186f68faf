/** What callers may send about their organization. */
import { ApiProperty } from '@nestjs/swagger';
import { IsEmail, IsString, Matches, MaxLength, MinLength } from 'class-validator';
import { IsPlainText } from '../http/plain-text.js';

export class UpdateOrganization {
  @ApiProperty({ minLength: 3, maxLength: 50, description: 'Unique in the cloud.' })
  @Matches(/^\S.*\S$/, { message: 'name may not begin or end with a blank' })
  @IsPlainText()
  @MaxLength(50)
  @MinLength(3)
  @IsString()
  name: string;
}

export class RemoveMember {
  @ApiProperty({ format: 'email', maxLength: 254 })
  @IsEmail()
  @MaxLength(254)
  @IsString()
  email: string;
}

export class InviteUser {
  @ApiProperty({ format: 'email', maxLength: 254, description: 'Of a user of this cloud.' })
  @IsEmail()
  @MaxLength(254)
  @IsString()
  email: string;
}
