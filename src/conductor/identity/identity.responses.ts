/** How users and API keys look from outside, field for field as Infrahub's clients know them. */
import { ApiProperty } from '@nestjs/swagger';
import { apiTime, Envelope } from '../http/envelope.js';
import { maskKey } from './secrets.js';

export class AuthUserFields {
  @ApiProperty()
  name: string;

  @ApiProperty()
  email: string;

  @ApiProperty()
  username: string;

  @ApiProperty({ format: 'date-time' })
  created_at: string;
}

export class AuthUserResponse extends Envelope {
  @ApiProperty()
  user: AuthUserFields;

  constructor(user: AuthUserFields) {
    super('Getting user details successful');
    this.user = user;
  }
}

export class MfaFields {
  @ApiProperty({ description: 'Always false: there is no login with a password that a second factor could protect.' })
  mfa_enabled: boolean = false;
}

export class MfaResponse extends Envelope {
  @ApiProperty()
  mfa: MfaFields = new MfaFields();
}

export class AccessTokenFields {
  @ApiProperty({ description: 'A bearer, valid for at most an hour and no longer than the API key that it was made with.' })
  access_token: string;
}

export class AccessTokenResponse extends Envelope {
  @ApiProperty()
  token: AccessTokenFields;

  constructor(token: string) {
    super('Access token generated successfully');
    this.token = { access_token: token };
  }
}

export class ApiKeyFields {
  @ApiProperty({ type: 'integer' })
  id: number;

  @ApiProperty({ description: 'In clear only in the answer that generated it; masked ever after.' })
  key: string;

  @ApiProperty()
  name: string;

  @ApiProperty()
  description: string;

  @ApiProperty({ format: 'date-time' })
  created_at: string;

  @ApiProperty({ type: String, format: 'date-time', nullable: true, description: 'Null: it is valid until deleted.' })
  expires_at: string | null;

  @ApiProperty({ type: String, format: 'date-time', nullable: true, description: 'To the minute.' })
  last_used_at: string | null;
}

export class ApiKeyResponse extends Envelope {
  @ApiProperty()
  api_key: ApiKeyFields;

  constructor(message: string, apiKey: ApiKeyFields) {
    super(message);
    this.api_key = apiKey;
  }
}

export class ApiKeysResponse extends Envelope {
  @ApiProperty({ type: [ApiKeyFields] })
  api_keys: ApiKeyFields[];

  constructor(apiKeys: ApiKeyFields[]) {
    super('Getting API keys successful');
    this.api_keys = apiKeys;
  }
}

export interface ApiKeyRow {
  readonly id: number;
  readonly name: string;
  readonly description: string | null;
  readonly hint: string;
  readonly created_at: Date;
  readonly expires_at: Date | null;
  readonly last_used_at: Date | null;
}

export function apiKeyFields(row: ApiKeyRow, clear?: string): ApiKeyFields {
  return {
    id: row.id,
    key: clear ?? maskKey(row.hint),
    name: row.name,
    description: row.description ?? '',
    created_at: apiTime(row.created_at),
    expires_at: row.expires_at && apiTime(row.expires_at),
    last_used_at: row.last_used_at && apiTime(row.last_used_at),
  };
}
