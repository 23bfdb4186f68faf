/** How keypairs look from outside, field for field as Infrahub's clients know them. */
import { ApiProperty } from '@nestjs/swagger';
import type { GreenStatus } from '../catalog/region.entity.js';
import { environmentFields, EnvironmentFields } from '../environments/environment.responses.js';
import { apiTime, Envelope, PagedEnvelope, type Page } from '../http/envelope.js';

export class KeypairFields {
  @ApiProperty({ type: 'integer' })
  id: number;

  @ApiProperty()
  name: string;

  @ApiProperty()
  environment: EnvironmentFields;

  @ApiProperty({ description: 'MD5 of the key, in hex with colons.' })
  fingerprint: string;

  @ApiProperty()
  public_key: string;

  @ApiProperty({ format: 'date-time' })
  created_at: string;
}

export class KeypairResponse extends Envelope {
  @ApiProperty()
  keypair: KeypairFields;

  constructor(message: string, keypair: KeypairFields) {
    super(message);
    this.keypair = keypair;
  }
}

export class KeypairsResponse extends PagedEnvelope {
  @ApiProperty({ type: [KeypairFields] })
  keypairs: KeypairFields[];

  constructor(keypairs: KeypairFields[], count: number, page: Page | undefined) {
    super('Getting keypairs successful', count, page);
    this.keypairs = keypairs;
  }
}

export class SupportedKeypairsResponse extends Envelope {
  @ApiProperty({ type: [String], example: ['ssh-ed25519'] })
  supported_key_types: readonly string[];

  constructor(types: readonly string[]) {
    super('Getting supported types of keypairs successful');
    this.supported_key_types = types;
  }
}

export interface KeypairRow {
  readonly id: number;
  readonly name: string;
  readonly fingerprint: string;
  readonly public_key: string;
  readonly created_at: Date;
  readonly environment_id: number;
  readonly environment_name: string;
  readonly environment_created_at: Date;
  readonly region: string;
  readonly green_status: GreenStatus;
  readonly subnet: string;
}

export function keypairFields(row: KeypairRow): KeypairFields {
  return {
    id: row.id,
    name: row.name,
    environment: environmentFields({
      id: row.environment_id,
      name: row.environment_name,
      created_at: row.environment_created_at,
      region: row.region,
      green_status: row.green_status,
      subnet: row.subnet,
    }),
    fingerprint: row.fingerprint,
    public_key: row.public_key,
    created_at: apiTime(row.created_at),
  };
}
