/** How profiles look from outside. The data goes in as an object and comes out as its JSON text: clients insist. */
import { ApiProperty } from '@nestjs/swagger';
import { apiTime, Envelope } from '../http/envelope.js';
import type { ProfileData } from './profile.entity.js';

export class ProfileFields {
  @ApiProperty({ type: 'integer' })
  id: number;

  @ApiProperty()
  name: string;

  @ApiProperty()
  description: string;

  @ApiProperty({ example: '{"flavor_name":"tiny-1"}', description: 'JSON of an object whose values are texts.' })
  data: string;

  @ApiProperty({ format: 'date-time' })
  created_at: string;
}

export class ProfileResponse extends Envelope {
  @ApiProperty()
  profile: ProfileFields;

  constructor(message: string, profile: ProfileFields) {
    super(message);
    this.profile = profile;
  }
}

export class ProfilesResponse extends Envelope {
  @ApiProperty({ type: [ProfileFields] })
  profiles: ProfileFields[];

  constructor(profiles: ProfileFields[]) {
    super('Getting profiles successful');
    this.profiles = profiles;
  }
}

export interface ProfileRow {
  readonly id: number;
  readonly name: string;
  readonly description: string;
  readonly data: ProfileData;
  readonly created_at: Date;
}

export const profileFields = (row: ProfileRow): ProfileFields => ({
  id: row.id,
  name: row.name,
  description: row.description,
  data: JSON.stringify(row.data),
  created_at: apiTime(row.created_at),
});
