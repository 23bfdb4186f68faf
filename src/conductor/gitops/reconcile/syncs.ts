/**
 * The history of a repository, and what the world learns of it: one event for each start, success, failure and drift,
 * and one signed webhook where the repository has a `callback_url`; each written in the transaction of the change.
 * Every write names the lease of the pass.
 */
import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { CallbackDeliverer } from '../../callbacks/callback-deliverer.js';
import type { GitCommit } from '../git/git-fetcher.js';
import type { SyncTrigger } from '../git-repository.entity.js';
import type { SyncAction, SyncProblem, SyncState } from '../gitops-sync.entity.js';
import type { LeasedRepository } from './leases.js';

export interface Sync {
  readonly id: number;
  readonly trigger: SyncTrigger;
  readonly commit: string;
  readonly state: SyncState;
  readonly destroyed: number;
  readonly failures: number;
  readonly actions: readonly SyncAction[];
  readonly startedAt: Date;
}

export interface SyncProgress {
  readonly actions: readonly SyncAction[];
  readonly problems: readonly SyncProblem[];
  readonly destroyed: number;
}

type Happening = 'started' | 'succeeded' | 'failed' | 'drifted';

const EVENT: Readonly<Record<Happening, { readonly reason: string; readonly type: 'normal' | 'warning' }>> = {
  started: { reason: 'GitopsSyncStarted', type: 'normal' },
  succeeded: { reason: 'GitopsSyncSucceeded', type: 'normal' },
  failed: { reason: 'GitopsSyncFailed', type: 'warning' },
  drifted: { reason: 'GitopsDriftFound', type: 'warning' },
};

const COLUMNS = 'id, trigger, commit, state, destroyed, failures, actions, started_at AS "startedAt"';

@Injectable()
export class Syncs {
  constructor(
    private readonly dataSource: DataSource,
    private readonly deliverer: CallbackDeliverer,
  ) {}

  async latest(repositoryId: number): Promise<Sync | undefined> {
    const [sync] = await this.dataSource.query<Sync[]>(
      `SELECT ${COLUMNS} FROM gitops_sync WHERE git_repository_id = $1 ORDER BY id DESC LIMIT 1`,
      [repositoryId],
    );
    return sync;
  }

  async open(repository: LeasedRepository, trigger: SyncTrigger, commit: GitCommit): Promise<Sync> {
    return await this.telling(repository, async (transaction) => {
      await transaction.query(
        `UPDATE gitops_sync SET state = 'superseded', finished_at = now() WHERE git_repository_id = $1 AND state = 'running'`,
        [repository.id],
      );
      const sync = await insert(transaction, repository, trigger, commit, 'running');
      await tell(transaction, repository, 'started', { commit, sync: sync.id, message: `Commit ${shortOf(commit.id)} is being applied.` });
      return sync;
    });
  }

  /** What would be done, of a repository that only plans. */
  async recordPlan(repository: LeasedRepository, trigger: SyncTrigger, commit: GitCommit, progress: SyncProgress): Promise<void> {
    await this.telling(repository, async (transaction) => {
      const sync = await insert(transaction, repository, trigger, commit, 'planned');
      await save(transaction, sync, progress);
    });
  }

  /** One that had failed is tried again, and told of again only when it ends differently. */
  async reopen(repository: LeasedRepository, sync: Sync): Promise<void> {
    await this.telling(repository, async (transaction) => {
      await transaction.query(`UPDATE gitops_sync SET state = 'running', finished_at = NULL WHERE id = $1`, [sync.id]);
    });
  }

  async save(repository: LeasedRepository, sync: Sync, progress: SyncProgress): Promise<void> {
    await this.telling(repository, (transaction) => save(transaction, sync, progress));
  }

  async finish(repository: LeasedRepository, sync: Sync, commit: GitCommit, state: 'succeeded' | 'failed', progress: SyncProgress): Promise<void> {
    await this.telling(repository, async (transaction) => {
      await save(transaction, sync, progress);
      await transaction.query(
        `UPDATE gitops_sync SET state = $2, finished_at = now(), failures = failures + CASE WHEN $2 = 'failed' THEN 1 ELSE 0 END WHERE id = $1`,
        [sync.id, state],
      );
      if (state === 'succeeded') await transaction.query('UPDATE git_repository SET drift = NULL WHERE id = $1', [repository.id]);
      if (state === 'failed' && sync.failures > 0) return;
      await tell(transaction, repository, state, { commit, sync: sync.id, message: summaryOf(state, commit, progress), ...progress });
    });
  }

  /** Told when it is not what was found before. */
  async noteDrift(repository: LeasedRepository, commit: GitCommit, drift: readonly string[] | null): Promise<void> {
    if (JSON.stringify(drift) === JSON.stringify(repository.drift)) return;
    await this.telling(repository, async (transaction) => {
      await transaction.query('UPDATE git_repository SET drift = $2 WHERE id = $1', [repository.id, drift === null ? null : JSON.stringify(drift)]);
      if (drift === null) return;
      const message = `${drift.length} found different from commit ${shortOf(commit.id)}: ${drift.slice(0, 5).join('; ')}${drift.length > 5 ? '; …' : ''}`;
      await tell(transaction, repository, 'drifted', { commit, message, drift });
    });
  }

  async fetchFailed(repository: LeasedRepository, reason: string): Promise<void> {
    await this.telling(repository, async (transaction) => {
      await transaction.query('UPDATE git_repository SET fetch_error = $2, fetched_at = now() WHERE id = $1', [repository.id, reason]);
      if (reason !== repository.fetchError) await tell(transaction, repository, 'failed', { message: `It could not be fetched: ${reason}` });
    });
  }

  async fetched(repository: LeasedRepository, commit: string, hostKeys: string | null): Promise<void> {
    await this.telling(repository, async (transaction) => {
      await transaction.query(
        'UPDATE git_repository SET fetched_commit = $2, host_keys = $3, fetch_error = NULL, fetched_at = now() WHERE id = $1',
        [repository.id, commit, hostKeys],
      );
    });
  }

  /** Nothing is written by a pass that lost its lease: the row is locked as long as it takes. */
  private async telling<Result>(repository: LeasedRepository, write: (transaction: EntityManager) => Promise<Result>): Promise<Result> {
    const result = await this.dataSource.transaction(async (transaction) => {
      const held = await transaction.query<unknown[]>('SELECT 1 FROM git_repository WHERE id = $1 AND lease = $2 FOR UPDATE', [
        repository.id,
        repository.lease,
      ]);
      if (held.length === 0) throw new LeaseLost();
      return await write(transaction);
    });
    if (repository.callbackUrl !== null) this.deliverer.wake();
    return result;
  }
}

/** Another pass has taken over; this one has nothing more to say. */
export class LeaseLost extends Error {}

async function insert(transaction: EntityManager, { id }: LeasedRepository, trigger: SyncTrigger, commit: GitCommit, state: SyncState): Promise<Sync> {
  const [sync] = await transaction.query<[Sync]>(
    `INSERT INTO gitops_sync (git_repository_id, trigger, commit, author, message, state, finished_at)
     SELECT $1, $2, s.commit, s.author, s.message, $4, CASE WHEN $4 = 'running' THEN NULL ELSE now() END
       FROM gitops_snapshot s WHERE s.git_repository_id = $1 AND s.commit = $3
     RETURNING ${COLUMNS}`,
    [id, trigger, commit.id, state],
  );
  return sync;
}

const save = async (transaction: EntityManager, { id }: Sync, { actions, problems, destroyed }: SyncProgress): Promise<void> => {
  await transaction.query('UPDATE gitops_sync SET actions = $2, problems = $3, destroyed = $4 WHERE id = $1', [
    id,
    JSON.stringify(actions),
    JSON.stringify(problems),
    destroyed,
  ]);
};

interface News {
  readonly message: string;
  readonly commit?: GitCommit;
  readonly sync?: number;
  readonly actions?: readonly SyncAction[];
  readonly problems?: readonly SyncProblem[];
  readonly drift?: readonly string[];
}

/** A webhook's body has no more of them: it is a notice, and the history has them all. */
const MOST_TOLD = 100;

async function tell(transaction: EntityManager, repository: LeasedRepository, happening: Happening, news: News): Promise<void> {
  const { reason, type } = EVENT[happening];
  await transaction.query(
    'INSERT INTO event (organization_id, user_id, type, reason, object, message) VALUES ($1, $2, $3, $4, $5, $6)',
    [repository.organizationId, repository.userId, type, reason, repository.name, news.message.slice(0, 1_000)],
  );
  if (repository.callbackUrl === null) return;
  const body = JSON.stringify({
    resource: { id: repository.id, name: repository.name, type: 'git_repository' },
    operation: { name: 'gitopsSync', status: happening },
    data: {
      sync_id: news.sync ?? null,
      commit: news.commit?.id ?? null,
      author: news.commit?.author ?? null,
      message: news.message,
      actions: news.actions?.slice(0, MOST_TOLD) ?? [],
      problems: news.problems?.slice(0, MOST_TOLD) ?? [],
      drift: news.drift?.slice(0, MOST_TOLD) ?? [],
    },
  });
  await transaction.query(
    `INSERT INTO callback_delivery (id, organization_id, url, body) VALUES (gen_random_uuid(), $1, $2, $3)`,
    [repository.organizationId, repository.callbackUrl, body],
  );
}

function summaryOf(state: 'succeeded' | 'failed', commit: GitCommit, { actions, problems }: SyncProgress): string {
  const done = actions.filter(({ result }) => result === 'done').length;
  const of = `commit ${shortOf(commit.id)}`;
  if (state === 'succeeded') return `Everything is as ${of} says: ${done} ${done === 1 ? 'action' : 'actions'}.`;
  const failed = actions.filter(({ result }) => result !== 'done');
  const first = (failed.find(({ result }) => result === 'failed') ?? failed[0])?.message ?? problems[0]?.message ?? '';
  return `Of ${of}, ${failed.length} could not be done and ${problems.length} cannot be done: ${first}`;
}

const shortOf = (commit: string): string => commit.slice(0, 12);
