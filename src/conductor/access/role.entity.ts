import { Column, CreateDateColumn, Entity, ForeignKey, PrimaryGeneratedColumn, Unique } from 'typeorm';
import type { OrganizationId } from '../../protocol/ids.js';
import { Organization } from '../identity/organization.entity.js';

/** What an organization lets some of its members do: names of permissions, and of policies that stand for several. */
@Entity()
@Unique(['organizationId', 'name'])
// For memberships to refer to: a role of another organization cannot be given, whatever a service does.
@Unique(['organizationId', 'id'])
export class Role {
  @PrimaryGeneratedColumn('identity', { type: 'int' })
  id: number;

  @Column('int')
  @ForeignKey(() => Organization, { onDelete: 'CASCADE' })
  organizationId: OrganizationId;

  @Column('text')
  name: string;

  @Column('text')
  description: string;

  @Column('text', { array: true })
  permissions: string[];

  @Column('text', { array: true })
  policies: string[];

  @CreateDateColumn({ type: 'timestamptz' })
  createdAt: Date;
}
