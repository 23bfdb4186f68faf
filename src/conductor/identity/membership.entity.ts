import { Check, Column, CreateDateColumn, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import type { OrganizationId, UserId } from '../../protocol/ids.js';
import type { MemberRole } from '../access/granted.js';
import { Role } from '../access/role.entity.js';
import { Organization } from './organization.entity.js';
import { UserAccount } from './user-account.entity.js';

/**
 * A user belongs to an organization: as an owner, who may do everything, or as a member, who may do what the role says.
 * API keys hang on it: when it ends, they end.
 */
@Entity()
@Check('ck_membership_role', `"role" IN ('owner', 'member')`)
@ForeignKey(() => Role, ['organizationId', 'roleId'], ['organizationId', 'id'])
export class Membership {
  @PrimaryColumn('int')
  @ForeignKey(() => Organization, { onDelete: 'CASCADE' })
  organizationId: OrganizationId;

  @PrimaryColumn('int')
  @Index()
  @ForeignKey(() => UserAccount, { onDelete: 'CASCADE' })
  userId: UserId;

  @Column('text')
  role: MemberRole;

  @Column('int', { nullable: true })
  roleId: number | null;

  @CreateDateColumn({ type: 'timestamptz' })
  joinedAt: Date;
}
