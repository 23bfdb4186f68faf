import { Check, Column, CreateDateColumn, Entity, Exclusion, ForeignKey, Index, PrimaryGeneratedColumn } from 'typeorm';
import type { EnvironmentId, OrganizationId, RegionId } from '../../protocol/ids.js';
import { Region } from '../catalog/region.entity.js';
import { Organization } from '../identity/organization.entity.js';

/** A project of an organization, in one region: VMs and keypairs live in one, and its VMs on a network of their own. */
@Entity()
@Index('uq_environment_name', ['organizationId', 'name'], { unique: true, where: '"deleted_at" IS NULL' })
@Check('ck_environment_subnet', '"subnet" IS NOT NULL OR "deleted_at" IS NOT NULL')
@Exclusion('xcl_environment_subnet', 'USING gist ("subnet" inet_ops WITH &&) WHERE ("deleted_at" IS NULL)')
export class Environment {
  @PrimaryGeneratedColumn('identity', { type: 'int' })
  id: EnvironmentId;

  @Column('int')
  @ForeignKey(() => Organization)
  organizationId: OrganizationId;

  @Column('int')
  @ForeignKey(() => Region)
  regionId: RegionId;

  @Column('text')
  name: string;

  /** Of its VMs; somebody else's once the environment is deleted. */
  @Column('cidr', { nullable: true })
  subnet: string | null;

  /** Of the claim that Git made it under; null for what was made by hand. */
  @Column('uuid', { nullable: true })
  gitopsClaim: string | null;

  @CreateDateColumn({ type: 'timestamptz' })
  createdAt: Date;

  /** The row outlives the environment, because those of its former VMs do. */
  @Column('timestamptz', { nullable: true })
  deletedAt: Date | null;
}
