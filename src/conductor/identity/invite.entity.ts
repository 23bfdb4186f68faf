import { Check, Column, CreateDateColumn, Entity, ForeignKey, Index, PrimaryGeneratedColumn } from 'typeorm';
import type { OrganizationId, UserId } from '../../protocol/ids.js';
import { Organization } from './organization.entity.js';
import { UserAccount } from './user-account.entity.js';

/** An offer to the user with this address to become a member. It is no secret: only that user can accept it. */
@Entity()
@Check('ck_invite_status', `"status" IN ('PENDING', 'ACCEPTED')`)
@Index('uq_invite_pending', ['organizationId', 'email'], { unique: true, where: `"status" = 'PENDING'` })
export class Invite {
  @PrimaryGeneratedColumn('identity', { type: 'int' })
  id: number;

  @Column('int')
  @ForeignKey(() => Organization, { onDelete: 'CASCADE' })
  organizationId: OrganizationId;

  /** In lower case. */
  @Column('text')
  email: string;

  @Column('text', { default: 'PENDING' })
  status: 'PENDING' | 'ACCEPTED';

  @Column('int')
  @ForeignKey(() => UserAccount)
  invitedBy: UserId;

  @CreateDateColumn({ type: 'timestamptz' })
  createdAt: Date;
}
