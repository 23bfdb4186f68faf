import { Column, Entity, ForeignKey, Index, PrimaryGeneratedColumn } from 'typeorm';
import type { OrganizationId, UserId } from '../../protocol/ids.js';
import { Organization } from '../identity/organization.entity.js';

/**
 * A change that somebody asked for, written in the transaction of the change: what is here was done, and what was done
 * is here. Nothing changes a row, and none is deleted before its time (`AuditRetention`). It holds no bodies, so no secrets.
 */
@Entity()
@Index(['organizationId', 'id'])
export class AuditEntry {
  @PrimaryGeneratedColumn('identity', { type: 'bigint' })
  id: string;

  @Column('int')
  @ForeignKey(() => Organization, { onDelete: 'CASCADE' })
  organizationId: OrganizationId;

  @Column('int')
  userId: UserId;

  /** By which key, also one that is gone by now; null when the conductor acted for the user by itself. */
  @Column('int', { nullable: true })
  apiKeyId: number | null;

  @Column('timestamptz', { default: () => 'now()' })
  time: Date;

  @Column('text', { nullable: true })
  requestId: string | null;

  @Column('text', { nullable: true })
  address: string | null;

  @Column('text', { nullable: true })
  method: string | null;

  @Column('text', { nullable: true })
  path: string | null;

  /** Kind of what was changed, such as `virtual-machine`. */
  @Column('text', { nullable: true })
  resource: string | null;

  /** What was made or changed, as far as it has numbers. */
  @Column('int', { array: true })
  resourceIds: number[];
}
