import { Column, CreateDateColumn, Entity, ForeignKey, Index, PrimaryGeneratedColumn } from 'typeorm';
import type { EnvironmentId, OrganizationId, RegionId } from '../../protocol/ids.js';
import { Region } from '../catalog/region.entity.js';
import { Organization } from '../identity/organization.entity.js';

/** A project of an organization, in one region: VMs and keypairs live in one. */
@Entity()
@Index('uq_environment_name', ['organizationId', 'name'], { unique: true, where: '"deleted_at" IS NULL' })
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

  @CreateDateColumn({ type: 'timestamptz' })
  createdAt: Date;

  /** The row outlives the environment, because those of its former VMs do. */
  @Column('timestamptz', { nullable: true })
  deletedAt: Date | null;
}
