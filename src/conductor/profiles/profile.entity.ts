import { Column, CreateDateColumn, Entity, ForeignKey, PrimaryGeneratedColumn, Unique } from 'typeorm';
import type { OrganizationId } from '../../protocol/ids.js';
import { Organization } from '../identity/organization.entity.js';

/** Field name to value: Infrahub's profiles hold text only. */
export type ProfileData = Readonly<Record<string, string>>;

/** A request for VMs that was kept under a name, to be filled in again. Baton itself never reads what is in it. */
@Entity()
@Unique(['organizationId', 'name'])
export class Profile {
  @PrimaryGeneratedColumn('identity', { type: 'int' })
  id: number;

  @Column('int')
  @ForeignKey(() => Organization, { onDelete: 'CASCADE' })
  organizationId: OrganizationId;

  @Column('text')
  name: string;

  @Column('text')
  description: string;

  @Column('jsonb')
  data: ProfileData;

  /** Of the claim that Git made it under; null for what was made by hand. */
  @Column('uuid', { nullable: true })
  gitopsClaim: string | null;

  @CreateDateColumn({ type: 'timestamptz' })
  createdAt: Date;
}
