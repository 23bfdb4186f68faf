import { Column, Entity, ForeignKey, Index, PrimaryGeneratedColumn, Unique } from 'typeorm';
import type { OrganizationId } from '../../protocol/ids.js';
import { Organization } from '../identity/organization.entity.js';
import { GitRepository } from './git-repository.entity.js';
import type { Kind } from './manifest/resource.js';

/**
 * A resource that a repository owns, by the identity that its manifest gives it. Written before the resource is made,
 * without its id: two repositories cannot claim one, and after a crash it is known what was being made.
 */
@Entity()
@Unique('uq_gitops_ownership_identity', ['organizationId', 'kind', 'environment', 'name'])
@Index('uq_gitops_ownership_resource', ['kind', 'resourceId'], { unique: true, where: '"resource_id" IS NOT NULL' })
@Index(['gitRepositoryId'])
export class GitopsOwnership {
  @PrimaryGeneratedColumn('identity', { type: 'int' })
  id: number;

  @Column('int')
  @ForeignKey(() => Organization, { onDelete: 'CASCADE' })
  organizationId: OrganizationId;

  @Column('int')
  @ForeignKey(() => GitRepository, { onDelete: 'CASCADE' })
  gitRepositoryId: number;

  @Column('text')
  kind: Kind;

  /** Empty for environments and profiles. */
  @Column('text')
  environment: string;

  @Column('text')
  name: string;

  /** Null while it is being made. */
  @Column('int', { nullable: true })
  resourceId: number | null;

  @Column('boolean')
  protect: boolean;

  /** Of the file that declares it. */
  @Column('text')
  path: string;

  @Column('int')
  line: number;

  /** That last changed it. */
  @Column('text')
  commit: string;

  /** Names the making that is under way or was the last: what bears it was made by it. */
  @Column('uuid', { nullable: true })
  claim: string | null;

  @Column('timestamptz', { default: () => 'now()' })
  claimedAt: Date;
}
