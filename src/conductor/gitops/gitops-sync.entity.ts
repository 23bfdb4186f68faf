import { Column, Entity, ForeignKey, Index, PrimaryGeneratedColumn } from 'typeorm';
import type { Verb } from './plan/plan.js';
import { GitRepository, type SyncTrigger } from './git-repository.entity.js';

/** `planned`: in mode plan, what would be done. `superseded`: a newer commit came before it was finished. */
export type SyncState = 'running' | 'succeeded' | 'failed' | 'planned' | 'superseded';

export interface SyncAction {
  readonly verb: Verb;
  /** As in `VirtualMachine demo/web`. */
  readonly resource: string;
  readonly fields: readonly string[];
  readonly result: 'planned' | 'done' | 'waiting' | 'failed' | 'blocked';
  readonly message: string;
}

export interface SyncProblem {
  readonly resource: string;
  readonly file: string;
  readonly line: number | null;
  readonly field: string;
  readonly message: string;
}

/** One time that a commit was made so, from the first pass to the last: the history of a repository. */
@Entity()
@Index(['gitRepositoryId', 'id'])
@Index('uq_gitops_sync_running', ['gitRepositoryId'], { unique: true, where: `"state" = 'running'` })
export class GitopsSync {
  @PrimaryGeneratedColumn('identity', { type: 'int' })
  id: number;

  @Column('int')
  @ForeignKey(() => GitRepository, { onDelete: 'CASCADE' })
  gitRepositoryId: number;

  @Column('text')
  trigger: SyncTrigger;

  @Column('text')
  commit: string;

  @Column('text')
  author: string;

  @Column('text')
  message: string;

  @Column('text')
  state: SyncState;

  /** How many resources it has deleted or begun to replace, for the limit of its commit. */
  @Column('int', { default: 0 })
  destroyed: number;

  /** Passes that ended in failure. */
  @Column('int', { default: 0 })
  failures: number;

  @Column('jsonb', { default: '[]' })
  actions: readonly SyncAction[];

  @Column('jsonb', { default: '[]' })
  problems: readonly SyncProblem[];

  /** Which of its states was told on the commit at the forge. */
  @Column('text', { nullable: true })
  toldState: SyncState | null;

  @Column('timestamptz', { default: () => 'now()' })
  startedAt: Date;

  @Column('timestamptz', { nullable: true })
  finishedAt: Date | null;
}
