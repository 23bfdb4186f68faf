import { Column, Entity, ForeignKey, PrimaryColumn } from 'typeorm';
import type { OrganizationId } from '../../protocol/ids.js';
import { Organization } from '../identity/organization.entity.js';

/** The first answer to a request, by the key that its client chose: written in the transaction of the change itself. */
@Entity()
export class IdempotencyKey {
  @PrimaryColumn('int')
  @ForeignKey(() => Organization, { onDelete: 'CASCADE' })
  organizationId: OrganizationId;

  @PrimaryColumn('text')
  key: string;

  /** SHA-256 (hex) over method, path and body. */
  @Column('text')
  requestHash: string;

  @Column('jsonb')
  response: object;

  @Column('timestamptz', { default: () => 'now()' })
  createdAt: Date;
}
