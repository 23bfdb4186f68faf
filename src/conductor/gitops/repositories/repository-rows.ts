/** The rows of repositories, as everything around them reads, locks and makes them. Every statement names the organization. */
import type { DataSource, EntityManager } from 'typeorm';
import type { OrganizationId, UserId } from '../../../protocol/ids.js';
import { writeAudit } from '../../audit/change.js';
import { violatedUnique } from '../../database/database-error.js';
import { alreadyExists, notFound } from '../../http/api-error.js';
import type { KeyHolder } from '../../identity/principal.js';
import type { GitRepositoryRow } from './git-repository.responses.js';
import { makeServiceAccount } from './service-accounts.js';

export const REPOSITORY = 'The Git repository';

export const SYNC_COLUMNS = 's.id, s.trigger, s.commit, s.author, s.message, s.state, s.actions, s.problems, s.started_at, s.finished_at';

const SELECT = `
  SELECT g.id, g.name, g.url, g.ref, g.path, g.environments, g.credentials IS NOT NULL AS has_credentials,
         g.webhook_secret IS NOT NULL AS has_webhook_secret, g.poll_seconds, g.prune, g.prune_limit, g.paused, g.mode,
         g.drift_policy, g.callback_url, r.name AS role, g.fetched_commit, g.pinned_commit, g.fetched_at, g.fetch_error, g.drift, g.forge, g.commit_status, g.commit_status_error,
         g.created_at, (SELECT count(*)::int FROM gitops_ownership o WHERE o.git_repository_id = g.id) AS resources,
         (SELECT to_json(l) FROM (SELECT ${SYNC_COLUMNS} FROM gitops_sync s WHERE s.git_repository_id = g.id ORDER BY s.id DESC LIMIT 1) l) AS last_sync
    FROM git_repository g
    LEFT JOIN membership m ON m.organization_id = g.organization_id AND m.user_id = g.user_id
    LEFT JOIN role r ON r.id = m.role_id
   WHERE g.organization_id = $1`;

export async function listRepositories(on: EntityManager, organizationId: OrganizationId): Promise<GitRepositoryRow[]> {
  return await on.query<GitRepositoryRow[]>(`${SELECT} ORDER BY g.id`, [organizationId]);
}

export async function readRepository(on: EntityManager, organizationId: OrganizationId, id: number): Promise<GitRepositoryRow> {
  const [row] = await on.query<GitRepositoryRow[]>(`${SELECT} AND g.id = $2`, [organizationId, id]);
  if (row === undefined) throw notFound(REPOSITORY);
  return row;
}

/** @throws ApiError 409 for a name that another repository has. */
export async function uniquelyNamed<Result>(dataSource: DataSource, name: string, change: (transaction: EntityManager) => Promise<Result>): Promise<Result> {
  try {
    return await dataSource.transaction(change);
  } catch (error) {
    if (violatedUnique(error) === 'uq_git_repository_organization_id_name')
      throw alreadyExists(`There is already a repository '${name}' in your organization. Choose another name.`);
    throw error;
  }
}

export interface LockedRepository {
  readonly name: string;
  readonly url: string | null;
  readonly userId: UserId;
  readonly hasCredentials: boolean;
  readonly paused: boolean;
  readonly pinnedCommit: string | null;
}

export async function lockRepository(transaction: EntityManager, organizationId: OrganizationId, id: number): Promise<LockedRepository> {
  const [row] = await transaction.query<LockedRepository[]>(
    `SELECT name, url, user_id AS "userId", credentials IS NOT NULL AS "hasCredentials", paused, pinned_commit AS "pinnedCommit" FROM git_repository
      WHERE organization_id = $1 AND id = $2 FOR UPDATE`,
    [organizationId, id],
  );
  if (row === undefined) throw notFound(REPOSITORY);
  return row;
}

export async function insertRepository(transaction: EntityManager, caller: KeyHolder, name: string, role: string | undefined, columns: Record<string, unknown>): Promise<number> {
  const user_id = await makeServiceAccount(transaction, caller, name, role);
  const row: Record<string, unknown> = { organization_id: caller.organizationId, name, user_id, ...columns };
  const [{ id }] = await transaction.query<[{ id: number }]>(
    `INSERT INTO git_repository (${Object.keys(row).join(', ')}) VALUES (${Object.keys(row).map((_, index) => `$${index + 1}`).join(', ')}) RETURNING id`,
    Object.values(row),
  );
  return id;
}

/** In the events and in the audit. */
export async function tellOfRepository(transaction: EntityManager, caller: KeyHolder, reason: string, id: number, object: string, message: string): Promise<void> {
  const { organizationId, userId } = caller;
  await auditRepository(transaction, caller, id);
  await transaction.query('INSERT INTO event (organization_id, user_id, reason, object, message) VALUES ($1, $2, $3, $4, $5)', [
    organizationId,
    userId,
    reason,
    object,
    message,
  ]);
}

export const auditRepository = (transaction: EntityManager, caller: KeyHolder, id: number): Promise<unknown> => writeAudit(transaction, caller, [id], 'git-repo');
