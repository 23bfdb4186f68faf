/**
 * Tells on commits, where their forge shows it, how syncs ended and what would be done. Never in the way of a pass: it
 * follows one, holds no lease and ends with the conductor. Which state of a sync was told is kept, so that what could not
 * be told is told after a later pass, by whichever conductor runs it. Told twice is told the same.
 *
 * Owns `told_state` of a sync and `commit_status_error` of a repository.
 */
import { Injectable, Logger, type BeforeApplicationShutdown } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { ApiError } from '../../http/api-error.js';
import { CommitStatusPoster, forgeOf, type CommitStatus, type CommitStatusProblem } from '../git/commit-status.js';
import type { GitCredentials } from '../git/git-connection.js';
import type { SyncAction, SyncProblem, SyncState } from '../gitops-sync.entity.js';
import { SealedSecrets } from '../sealed-secrets.js';
import type { Assessment } from './assessment.js';
import type { LeasedRepository } from './leases.js';

type ToldRepository = Pick<LeasedRepository, 'id' | 'name' | 'url' | 'credentials' | 'forge' | 'commitStatus'>;

interface EndedSync {
  readonly id: number;
  readonly commit: string;
  readonly state: Extract<SyncState, 'succeeded' | 'failed' | 'planned'>;
  readonly actions: readonly SyncAction[];
  readonly problems: readonly SyncProblem[];
}

/** Of the sync that ended last, if its end was not told yet. */
const UNTOLD = `
  SELECT id, commit, state, actions, problems FROM gitops_sync
   WHERE id = (SELECT max(id) FROM gitops_sync WHERE git_repository_id = $1 AND state IN ('succeeded', 'failed', 'planned'))
     AND told_state IS DISTINCT FROM state`;

@Injectable()
export class CommitReports implements BeforeApplicationShutdown {
  private readonly logger = new Logger(CommitReports.name);
  private readonly underWay = new Set<Promise<void>>();
  private readonly beingTold = new Set<number>();

  constructor(
    private readonly dataSource: DataSource,
    private readonly poster: CommitStatusPoster,
    private readonly secrets: SealedSecrets,
  ) {}

  /** How the last sync ended. Returns at once. */
  ended(repository: ToldRepository): void {
    if (!isTold(repository) || this.beingTold.has(repository.id)) return;
    this.beingTold.add(repository.id);
    this.follow(this.tellEnd(repository).finally(() => this.beingTold.delete(repository.id)));
  }

  /** What a commit that is not followed would do: the check of a pull request. Returns at once. */
  planned(repository: ToldRepository, commit: string, { plan, problems }: Assessment): void {
    if (!isTold(repository)) return;
    const status: CommitStatus = {
      state: problems.length === 0 ? 'success' : 'failure',
      description: planInWords(plan.actions.length, plan.unchanged, problems),
      context: `baton/${repository.name}/plan`,
    };
    this.follow(this.post(repository, commit, status).then((problem) => this.keep(repository, problem)));
  }

  async beforeApplicationShutdown(): Promise<void> {
    await Promise.all(this.underWay);
  }

  private follow(work: Promise<void>): void {
    const followed = work
      .catch((error: unknown) => this.logger.warn(`What became of a commit could not be told: ${(error as Error).message}`))
      .finally(() => this.underWay.delete(followed));
    this.underWay.add(followed);
  }

  private async tellEnd(repository: ToldRepository): Promise<void> {
    const [sync] = await this.dataSource.query<EndedSync[]>(UNTOLD, [repository.id]);
    if (sync === undefined) return;
    const problem = await this.post(repository, sync.commit, statusOf(repository.name, sync));
    if (problem?.passing !== true) await this.dataSource.query('UPDATE gitops_sync SET told_state = $2 WHERE id = $1', [sync.id, sync.state]);
    await this.keep(repository, problem);
  }

  private async post({ url, forge, credentials }: ToldRepository, commit: string, status: CommitStatus): Promise<CommitStatusProblem | undefined> {
    try {
      const opened = this.secrets.open<GitCredentials>(credentials!);
      if (opened.kind !== 'token') return undefined;
      return await this.poster.post({ url: url!, token: opened.token, ...(forge !== null && { forge }) }, commit, status);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      return { message: error.message, passing: true };
    }
  }

  private async keep({ id }: ToldRepository, problem: CommitStatusProblem | undefined): Promise<void> {
    await this.dataSource.query('UPDATE git_repository SET commit_status_error = $2 WHERE id = $1 AND commit_status_error IS DISTINCT FROM $2', [
      id,
      problem?.message ?? null,
    ]);
  }
}

const isTold = ({ url, forge, credentials, commitStatus }: ToldRepository): boolean =>
  commitStatus && url !== null && credentials !== null && forgeOf({ url, ...(forge !== null && { forge }) }) !== undefined;

function statusOf(name: string, { state, actions, problems }: EndedSync): CommitStatus {
  const context = `baton/${name}`;
  const done = actions.filter(({ result }) => result === 'done').length;
  switch (state) {
    case 'succeeded':
      return { context, state: 'success', description: `The cloud is as it says: ${done} ${done === 1 ? 'action' : 'actions'}.` };
    case 'planned':
      return { context, state: problems.length === 0 ? 'success' : 'failure', description: planInWords(actions.length, undefined, problems) };
    case 'failed': {
      const undone = actions.filter(({ result }) => result !== 'done');
      const reason = (undone.find(({ result }) => result === 'failed') ?? undone.find(({ message }) => message !== ''))?.message ?? problems[0]?.message ?? '';
      return { context, state: 'failure', description: `${undone.length + problems.length} could not be done: ${reason}` };
    }
  }
}

function planInWords(actions: number, unchanged: number | undefined, problems: readonly SyncProblem[]): string {
  const [first] = problems;
  const wrong = first === undefined ? '' : `; ${problems.length} wrong: ${first.file}${first.line === null ? '' : `:${first.line}`} ${first.message}`;
  return `${actions} to do${unchanged === undefined ? '' : `, ${unchanged} as they shall be`}${wrong}`;
}
