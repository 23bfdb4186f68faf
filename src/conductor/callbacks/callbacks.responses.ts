/** What the API shows of webhooks and their signing secrets. */
import { ApiProperty } from '@nestjs/swagger';
import { apiTime, Envelope } from '../http/envelope.js';
import type { DeliveryLogRow } from './callbacks.service.js';
import type { ValidSecret } from './signing-secrets.service.js';

export class SigningSecretFields {
  @ApiProperty({ type: 'integer' })
  id: number;

  @ApiProperty({
    example: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
    description: 'As the Standard Webhooks libraries take it.',
  })
  secret: string;

  @ApiProperty({ example: '2026-01-31T12:00:00' })
  created_at: string;

  @ApiProperty({ type: String, nullable: true, description: 'Null for the newest; others sign until then.' })
  expires_at: string | null;

  constructor({ id, secret, createdAt, expiresAt }: ValidSecret) {
    this.id = id;
    this.secret = secret;
    this.created_at = apiTime(createdAt);
    this.expires_at = expiresAt && apiTime(expiresAt);
  }
}

export class SigningSecretsResponse extends Envelope {
  @ApiProperty({ type: [SigningSecretFields], description: 'All that are valid now, newest first.' })
  signing_secrets: SigningSecretFields[];

  constructor(message: string, secrets: readonly ValidSecret[]) {
    super(message);
    this.signing_secrets = secrets.map((secret) => new SigningSecretFields(secret));
  }
}

export class CallbackDeliveryFields {
  @ApiProperty({ format: 'uuid', description: 'Also the header webhook-id.' })
  id: string;

  @ApiProperty({ type: 'integer', nullable: true })
  vm_id: number | null;

  @ApiProperty({ type: 'integer', nullable: true })
  volume_id: number | null;

  @ApiProperty()
  url: string;

  @ApiProperty({ description: 'The body as it is signed and sent.' })
  body: string;

  @ApiProperty({ enum: ['pending', 'delivered', 'failed'] })
  state: string;

  @ApiProperty({ type: 'integer' })
  attempts: number;

  @ApiProperty({ type: 'integer', nullable: true, description: "The receiver's last HTTP status, if it answered." })
  response_status: number | null;

  @ApiProperty({ type: String, nullable: true })
  last_error: string | null;

  @ApiProperty({ type: String, nullable: true, description: 'Not before; null when it is finished.' })
  next_attempt_at: string | null;

  @ApiProperty({ example: '2026-01-31T12:00:00' })
  created_at: string;

  @ApiProperty({ type: String, nullable: true })
  finished_at: string | null;

  constructor(row: DeliveryLogRow) {
    this.id = row.id;
    this.vm_id = row.virtualMachineId;
    this.volume_id = row.volumeId;
    this.url = row.url;
    this.body = row.body;
    this.state = row.state;
    this.attempts = row.attempts;
    this.response_status = row.responseStatus;
    this.last_error = row.lastError;
    this.next_attempt_at = row.state === 'pending' ? apiTime(row.availableAt) : null;
    this.created_at = apiTime(row.createdAt);
    this.finished_at = row.finishedAt && apiTime(row.finishedAt);
  }
}

export class CallbackDeliveriesResponse extends Envelope {
  @ApiProperty({ type: [CallbackDeliveryFields], description: 'Newest first, at most 100.' })
  callback_deliveries: CallbackDeliveryFields[];

  constructor(message: string, rows: readonly DeliveryLogRow[]) {
    super(message);
    this.callback_deliveries = rows.map((row) => new CallbackDeliveryFields(row));
  }
}

export class CallbackDeliveryResponse extends Envelope {
  @ApiProperty()
  callback_delivery: CallbackDeliveryFields;

  constructor(message: string, row: DeliveryLogRow) {
    super(message);
    this.callback_delivery = new CallbackDeliveryFields(row);
  }
}
