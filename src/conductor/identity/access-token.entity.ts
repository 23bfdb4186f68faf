import { Column, CreateDateColumn, Entity, ForeignKey, Index, PrimaryGeneratedColumn, Unique } from 'typeorm';
import type { OrganizationId, UserId } from '../../protocol/ids.js';
import { ApiKey } from './api-key.entity.js';
import { Membership } from './membership.entity.js';

/**
 * A short-lived bearer with which the user of an API key acts in another of his organizations. It ends with the key that
 * it was made with, be that revoked or expired, and with the membership. Only the SHA-256 of the token is stored.
 */
@Entity()
@Unique(['tokenHash'])
@ForeignKey(() => Membership, ['organizationId', 'userId'], ['organizationId', 'userId'], { onDelete: 'CASCADE' })
export class AccessToken {
  @PrimaryGeneratedColumn('identity', { type: 'int' })
  id: number;

  @Column('int')
  organizationId: OrganizationId;

  @Column('int')
  userId: UserId;

  @Column('int')
  @Index()
  @ForeignKey(() => ApiKey, { onDelete: 'CASCADE' })
  apiKeyId: number;

  @Column('bytea')
  tokenHash: Buffer;

  @CreateDateColumn({ type: 'timestamptz' })
  createdAt: Date;

  @Column('timestamptz')
  expiresAt: Date;
}
