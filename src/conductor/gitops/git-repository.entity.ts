import { Check, Column, CreateDateColumn, Entity, ForeignKey, Index, PrimaryGeneratedColumn, Unique } from 'typeorm';
import type { OrganizationId, UserId } from '../../protocol/ids.js';
import { Organization } from '../identity/organization.entity.js';
import { UserAccount } from '../identity/user-account.entity.js';
import type { Forge } from './git/commit-status.js';

/** `plan` only says what would be done. */
export type GitMode = 'plan' | 'apply';
/** What is done about what was changed by hand. */
export type DriftPolicy = 'report' | 'correct';
/** Why a pass is asked for. */
export type SyncTrigger = 'created' | 'poll' | 'push' | 'manual' | 'rollback' | 'drift' | 'apply';

/**
 * A place that desired state comes from: a branch of a Git repository or, without a URL, files that were sent. What its
 * owner wants of it is written by the API, what was found and done by whoever holds the lease. The API asks for a pass
 * by writing `requested`.
 */
@Entity()
@Unique(['organizationId', 'name'])
@Index('idx_git_repository_due', ['nextPassAt'], { where: '"paused" = false' })
@Check('ck_git_repository_mode', `"mode" IN ('plan', 'apply') AND "drift_policy" IN ('report', 'correct')`)
@Check('ck_git_repository_forge', `"forge" IN ('github', 'gitlab', 'gitea')`)
@Check('ck_git_repository_limits', '"poll_seconds" >= 5 AND "prune_limit" >= 0')
export class GitRepository {
  @PrimaryGeneratedColumn('identity', { type: 'int' })
  id: number;

  @Column('int')
  @ForeignKey(() => Organization, { onDelete: 'CASCADE' })
  organizationId: OrganizationId;

  @Column('text')
  name: string;

  /** Null: files come with `POST /gitops/apply`. */
  @Column('text', { nullable: true })
  url: string | null;

  /** Branch or tag. */
  @Column('text')
  ref: string;

  /** Folder of the manifest; empty for the whole repository. */
  @Column('text')
  path: string;

  /** Names of those that it may manage; none named means all of the organization's. */
  @Column('text', { array: true })
  environments: string[];

  /** Sealed. */
  @Column('bytea', { nullable: true })
  credentials: Buffer | null;

  /** Of its server over ssh, as they were seen at the first fetch. */
  @Column('text', { nullable: true })
  hostKeys: string | null;

  /** Sealed: what pushes are signed with. */
  @Column('bytea', { nullable: true })
  webhookSecret: Buffer | null;

  @Column('int')
  pollSeconds: number;

  @Column('boolean')
  prune: boolean;

  @Column('int')
  pruneLimit: number;

  @Column('boolean', { default: false })
  paused: boolean;

  @Column('text')
  mode: GitMode;

  @Column('text')
  driftPolicy: DriftPolicy;

  @Column('text', { nullable: true })
  callbackUrl: string | null;

  /** The service account that acts for it: a member of the organization without keys. */
  @Column('int')
  @ForeignKey(() => UserAccount)
  userId: UserId;

  /** Rolled back to: the branch is not followed until it is let go. */
  @Column('text', { nullable: true })
  pinnedCommit: string | null;

  /** The newest commit that was fetched. */
  @Column('text', { nullable: true })
  fetchedCommit: string | null;

  @Column('timestamptz', { nullable: true })
  fetchedAt: Date | null;

  /** Why the last fetch failed, in words fit for its owner. */
  @Column('text', { nullable: true })
  fetchError: string | null;

  /** What was found changed by hand at the last pass; null for nothing. */
  @Column('jsonb', { nullable: true })
  drift: readonly string[] | null;

  /** Null: known by its host, or none. */
  @Column('text', { nullable: true })
  forge: Forge | null;

  /** Whether commits are told at the forge what was planned and done. */
  @Column('boolean', { default: true })
  commitStatus: boolean;

  /** Why the last of these could not be told, in words fit for its owner. */
  @Column('text', { nullable: true })
  commitStatusError: string | null;

  @Column('text', { nullable: true })
  requested: SyncTrigger | null;

  @Column('timestamptz', { default: () => 'now()' })
  nextPassAt: Date;

  /** Names the pass that is under way. */
  @Column('uuid', { nullable: true })
  lease: string | null;

  @Column('timestamptz', { nullable: true })
  leaseUntil: Date | null;

  @CreateDateColumn({ type: 'timestamptz' })
  createdAt: Date;
}
