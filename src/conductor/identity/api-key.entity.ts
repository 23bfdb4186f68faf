import { Column, CreateDateColumn, Entity, ForeignKey, Index, PrimaryGeneratedColumn, Unique } from 'typeorm';
import type { OrganizationId, UserId } from '../../protocol/ids.js';
import { Membership } from './membership.entity.js';
import { Organization } from './organization.entity.js';
import { UserAccount } from './user-account.entity.js';

/**
 * A key of a user in one organization. Only the SHA-256 of the key is stored; `hint` is its last characters, by which
 * its owner tells it from others. A revoked key is deleted; all of a user's are when the membership ends.
 */
@Entity()
@Unique(['keyHash'])
@Unique(['organizationId', 'userId', 'name'])
@ForeignKey(() => Membership, ['organizationId', 'userId'], ['organizationId', 'userId'], { onDelete: 'CASCADE' })
export class ApiKey {
  @PrimaryGeneratedColumn('identity', { type: 'int' })
  id: number;

  @Column('int')
  @Index()
  @ForeignKey(() => Organization, { onDelete: 'CASCADE' })
  organizationId: OrganizationId;

  @Column('int')
  @ForeignKey(() => UserAccount, { onDelete: 'CASCADE' })
  userId: UserId;

  @Column('text')
  name: string;

  @Column('text', { nullable: true })
  description: string | null;

  @Column('bytea')
  keyHash: Buffer;

  @Column('text')
  hint: string;

  @CreateDateColumn({ type: 'timestamptz' })
  createdAt: Date;

  @Column('timestamptz', { nullable: true })
  expiresAt: Date | null;

  /** Kept to the minute: written at most once a minute, not with every request. */
  @Column('timestamptz', { nullable: true })
  lastUsedAt: Date | null;
}
