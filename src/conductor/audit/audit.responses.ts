/** What the audit shows. */
import { ApiProperty } from '@nestjs/swagger';
import { apiTime, PagedEnvelope, type Page } from '../http/envelope.js';

export interface AuditRow {
  readonly id: string;
  readonly time: Date;
  readonly user_id: number;
  readonly user: string | null;
  readonly api_key_id: number | null;
  readonly request_id: string | null;
  readonly address: string | null;
  readonly method: string | null;
  readonly path: string | null;
  readonly resource: string | null;
  readonly resource_ids: number[];
}

export class AuditFields {
  @ApiProperty({ type: 'integer' })
  id: number;

  @ApiProperty({ format: 'date-time' })
  time: string;

  @ApiProperty({ type: 'integer' })
  user_id: number;

  @ApiProperty({ type: String, nullable: true, description: 'Email address of the user.' })
  user: string | null;

  @ApiProperty({ type: 'integer', nullable: true })
  api_key_id: number | null;

  @ApiProperty({ type: String, nullable: true, description: 'The address that the request came from.' })
  address: string | null;

  @ApiProperty({ type: String, nullable: true, description: 'Null where the conductor acted for the user by itself.' })
  request_id: string | null;

  @ApiProperty({ type: String, nullable: true })
  method: string | null;

  @ApiProperty({ type: String, nullable: true })
  path: string | null;

  @ApiProperty({ type: String, nullable: true, example: 'virtual-machine' })
  resource: string | null;

  @ApiProperty({ type: [Number] })
  resource_ids: number[];

  constructor(row: AuditRow) {
    this.id = Number(row.id);
    this.time = apiTime(row.time);
    this.user_id = row.user_id;
    this.user = row.user;
    this.api_key_id = row.api_key_id;
    this.address = row.address;
    this.request_id = row.request_id;
    this.method = row.method;
    this.path = row.path;
    this.resource = row.resource;
    this.resource_ids = row.resource_ids;
  }
}

export class AuditResponse extends PagedEnvelope {
  @ApiProperty({ type: [AuditFields] })
  audit: AuditFields[];

  constructor(rows: readonly AuditRow[], count: number, page: Page) {
    super('Getting audit successful', count, page);
    this.audit = rows.map((row) => new AuditFields(row));
  }
}
