/**
 * Owns what is configured of a repository, and asks for passes; what is found and done is written by whoever holds the
 * lease (`reconcile/`). Every statement names the organization.
 */
import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { createHash, randomBytes } from 'node:crypto';
import type { OrganizationId, UserId } from '../../../protocol/ids.js';
import { writeAudit } from '../../audit/change.js';
import { violatedUnique } from '../../database/database-error.js';
import { EgressPolicy } from '../../egress/egress-policy.js';
import { alreadyExists, badRequest, notFound } from '../../http/api-error.js';
import type { Page } from '../../http/envelope.js';
import type { KeyHolder } from '../../identity/principal.js';
import type { GitCredentials } from '../git/git-connection.js';
import { GitError } from '../git/git-error.js';
import type { GitSnapshot } from '../git/git-fetcher.js';
import { checkRef } from '../git/git-ref.js';
import { parseGitUrl } from '../git/git-url.js';
import { isSigned, pushIn, type PushHookHeaders } from '../git/push-hook.js';
import type { SyncTrigger } from '../git-repository.entity.js';
import { compileManifest, type CompiledManifest } from '../manifest/compile.js';
import { Assessments, type Assessment } from '../reconcile/assessment.js';
import { DesiredState } from '../reconcile/desired-state.js';
import { REPOSITORY_COLUMNS, type LeasedRepository } from '../reconcile/leases.js';
import { Snapshots } from '../reconcile/snapshots.js';
import { GitopsWatcher } from '../reconcile/watcher.js';
import { SealedSecrets } from '../sealed-secrets.js';
import { Ownership, type OwnedResource } from '../state/ownership.js';
import type { ApplyPayload, CreateGitRepository, GitCredentialsPayload, UpdateGitRepository } from './git-repository.requests.js';
import type { GitRepositoryRow, SyncRow } from './git-repository.responses.js';
import { endServiceAccount, giveRole, makeServiceAccount, requireAccountHeld } from './service-accounts.js';

export const REPOSITORY = 'The Git repository';
const AUDITED_AS = 'git-repo';

const SYNC_COLUMNS = 's.id, s.trigger, s.commit, s.author, s.message, s.state, s.actions, s.problems, s.started_at, s.finished_at';

const SELECT = `
  SELECT g.id, g.name, g.url, g.ref, g.path, g.environments, g.credentials IS NOT NULL AS has_credentials,
         g.webhook_secret IS NOT NULL AS has_webhook_secret, g.poll_seconds, g.prune, g.prune_limit, g.paused, g.mode,
         g.drift_policy, g.callback_url, r.name AS role, g.fetched_commit, g.pinned_commit, g.fetched_at, g.fetch_error, g.drift,
         g.created_at, (SELECT count(*)::int FROM gitops_ownership o WHERE o.git_repository_id = g.id) AS resources,
         (SELECT to_json(l) FROM (SELECT ${SYNC_COLUMNS} FROM gitops_sync s WHERE s.git_repository_id = g.id ORDER BY s.id DESC LIMIT 1) l) AS last_sync
    FROM git_repository g
    LEFT JOIN membership m ON m.organization_id = g.organization_id AND m.user_id = g.user_id
    LEFT JOIN role r ON r.id = m.role_id
   WHERE g.organization_id = $1`;

/** Of files that are sent: a body has no more than a mebibyte anyway. */
const MOST_FILES = 1_000;
const MAX_PATH_LENGTH = 500;

const SETTABLE = [
  'name',
  'url',
  'ref',
  'path',
  'environments',
  'poll_seconds',
  'prune',
  'prune_limit',
  'paused',
  'mode',
  'drift_policy',
  'callback_url',
] as const satisfies readonly (keyof UpdateGitRepository)[];

/** A pass that is under way loses its lease, so that it cannot write what it fetched from the place before. */
const FETCHED_ANEW = { fetched_commit: null, pinned_commit: null, fetch_error: null, lease: null, lease_until: null };

type PreviewedRepository = Omit<LeasedRepository, 'lease' | 'granted' | 'requested'>;

@Injectable()
export class GitRepositoriesService {
  constructor(
    private readonly dataSource: DataSource,
    private readonly egress: EgressPolicy,
    private readonly secrets: SealedSecrets,
    private readonly desired: DesiredState,
    private readonly snapshots: Snapshots,
    private readonly assessments: Assessments,
    private readonly ownership: Ownership,
    private readonly watcher: GitopsWatcher,
  ) {}

  list(organizationId: OrganizationId): Promise<GitRepositoryRow[]> {
    return this.dataSource.query(`${SELECT} ORDER BY g.id`, [organizationId]);
  }

  async get(organizationId: OrganizationId, id: number): Promise<GitRepositoryRow> {
    return await this.read(this.dataSource.manager, organizationId, id);
  }

  /** @returns the secret too that pushes are signed with, where it was made here. */
  async create(caller: KeyHolder, request: CreateGitRepository): Promise<{ row: GitRepositoryRow; webhookSecret: string | undefined }> {
    this.check(request);
    const name = request.name ?? nameFrom(request.url);
    const made = request.webhook_secret === undefined && this.secrets.available ? randomBytes(24).toString('base64url') : undefined;
    const webhookSecret = request.webhook_secret ?? made;
    const row = await this.uniquelyNamed(name, async (transaction) => {
      const id = await insert(transaction, caller, name, request.role, {
        url: request.url,
        ref: request.ref ?? 'main',
        path: request.path ?? '',
        environments: request.environments ?? [],
        credentials: this.sealed(request.credentials),
        webhook_secret: webhookSecret === undefined ? null : this.secrets.seal(webhookSecret),
        poll_seconds: request.poll_seconds ?? 60,
        prune: request.prune ?? false,
        prune_limit: request.prune_limit ?? 10,
        paused: request.paused ?? false,
        mode: request.mode ?? 'apply',
        drift_policy: request.drift_policy ?? 'correct',
        callback_url: request.callback_url ?? null,
        requested: 'created',
      });
      await tell(transaction, caller, 'GitRepositoryAdded', id, name, `Added, following ${request.ref ?? 'main'} of ${request.url}.`);
      return await this.read(transaction, caller.organizationId, id);
    });
    this.watcher.wake();
    return { row, webhookSecret: made };
  }

  async update(caller: KeyHolder, id: number, request: UpdateGitRepository): Promise<GitRepositoryRow> {
    this.check(request);
    const { role, credentials, webhook_secret } = request;
    const changes: Record<string, unknown> = Object.fromEntries(SETTABLE.map((column) => [column, request[column]]));
    if (credentials !== undefined) changes['credentials'] = this.sealed(credentials);
    if (webhook_secret !== undefined) changes['webhook_secret'] = this.secrets.seal(webhook_secret);
    // Files of another place: what was fetched there says nothing any more.
    if (request.url !== undefined || request.path !== undefined || request.ref !== undefined)
      Object.assign(changes, { ...FETCHED_ANEW, ...(request.url !== undefined && { host_keys: null }) });
    const row = await this.uniquelyNamed(request.name ?? '', async (transaction) => {
      const account = await lock(transaction, caller.organizationId, id);
      if (request.url !== undefined && account.url === null) throw badRequest('This repository is of files that were sent; it has no URL.');
      await requireAccountHeld(transaction, caller, account.userId);
      if (role !== undefined) await giveRole(transaction, caller, account.userId, role);
      const columns = Object.keys(changes).filter((column) => changes[column] !== undefined);
      const assignments = columns.map((column, index) => `${column} = $${index + 3}`);
      await transaction.query(
        `UPDATE git_repository SET ${[...assignments, `requested = coalesce(requested, 'manual')`, 'next_pass_at = now()'].join(', ')}
          WHERE organization_id = $1 AND id = $2`,
        [caller.organizationId, id, ...columns.map((column) => changes[column])],
      );
      await tell(transaction, caller, 'GitRepositoryChanged', id, account.name, 'Its settings were changed.');
      return await this.read(transaction, caller.organizationId, id);
    });
    this.watcher.wake();
    return row;
  }

  /** What it made stays, and is nobody's. */
  async remove(caller: KeyHolder, id: number): Promise<string> {
    return await this.dataSource.transaction(async (transaction) => {
      const { name, userId } = await lock(transaction, caller.organizationId, id);
      await transaction.query('DELETE FROM git_repository WHERE organization_id = $1 AND id = $2', [caller.organizationId, id]);
      await endServiceAccount(transaction, caller.organizationId, userId);
      await tell(transaction, caller, 'GitRepositoryRemoved', id, name, 'Removed. What it made stays.');
      return name;
    });
  }

  async sync(caller: KeyHolder, id: number): Promise<string> {
    return await this.change(caller, id, 'manual', 'A sync was asked for.', (repository) => {
      if (repository.paused) throw badRequest(`${repository.name} is paused. Resume it first.`);
      return {};
    });
  }

  async pause(caller: KeyHolder, id: number): Promise<string> {
    return await this.change(caller, id, null, 'Paused.', () => ({ paused: true }));
  }

  /** Follows the branch again, also after a rollback. */
  async resume(caller: KeyHolder, id: number): Promise<string> {
    return await this.change(caller, id, 'manual', 'Resumed.', () => ({ paused: false, pinned_commit: null }));
  }

  /** @returns the commit in full. */
  async rollBack(caller: KeyHolder, id: number, commit: string): Promise<string> {
    const repository = await this.previewed(caller.organizationId, id);
    const full = (await this.keptCommit(id, commit)) ?? (await this.fetchedCommit(repository, commit));
    await this.change(caller, id, 'rollback', `Rolled back to ${full}.`, () => ({ paused: false, pinned_commit: full }));
    return full;
  }

  /**
   * A forge tells of a push. Only the branch or tag that is followed is a reason to look.
   * @returns whether it is looked at. @throws ApiError 404, in the same words, for what is no repository and for a signature that is not ours.
   */
  async pushed(id: number, headers: PushHookHeaders, body: Buffer): Promise<boolean> {
    const [repository] = await this.dataSource.query<{ ref: string; webhook_secret: Buffer | null }[]>(
      'SELECT ref, webhook_secret FROM git_repository WHERE id = $1 AND url IS NOT NULL',
      [id],
    );
    const sealed = repository?.webhook_secret ?? null;
    const secret = sealed === null ? undefined : this.secrets.open<string>(sealed);
    if (secret === undefined || !isSigned(headers, body, secret)) throw notFound('A Git repository with this signature');
    const push = pushIn(headers, body);
    const followed = push !== undefined && [repository!.ref, `refs/heads/${repository!.ref}`, `refs/tags/${repository!.ref}`].includes(push.ref);
    if (!followed) return false;
    await this.dataSource.query(`UPDATE git_repository SET requested = coalesce(requested, 'push'), next_pass_at = now() WHERE id = $1`, [id]);
    this.watcher.wake();
    return true;
  }

  /** @param ref another than the one that is followed. */
  async plan(organizationId: OrganizationId, id: number, ref: string | undefined): Promise<{ commit: string; assessment: Assessment }> {
    const repository = await this.previewed(organizationId, id);
    const { commit, manifest } = ref === undefined ? await this.known(repository) : await this.lookAt(repository, ref);
    return { commit, assessment: await this.assessments.assess(repository, manifest, 0) };
  }

  async syncs(organizationId: OrganizationId, id: number, page: Page): Promise<{ rows: SyncRow[]; count: number }> {
    await this.get(organizationId, id);
    const rows = await this.dataSource.query<SyncRow[]>(
      `SELECT ${SYNC_COLUMNS} FROM gitops_sync s WHERE s.git_repository_id = $1 ORDER BY s.id DESC LIMIT $2 OFFSET $3`,
      [id, page.pageSize, (page.page - 1) * page.pageSize],
    );
    const [{ count }] = await this.dataSource.query<[{ count: number }]>(
      'SELECT count(*)::int AS count FROM gitops_sync WHERE git_repository_id = $1',
      [id],
    );
    return { rows, count };
  }

  async resources(organizationId: OrganizationId, id: number): Promise<OwnedResource[]> {
    await this.get(organizationId, id);
    return await this.ownership.list({ id, organizationId });
  }

  /** Files that are sent, made so by the same passes as those of Git. */
  async apply(caller: KeyHolder, request: ApplyPayload, dryRun: boolean): Promise<{ id: number | null; commit: string; assessment: Assessment }> {
    const files = checkedFiles(request.files);
    const name = request.name ?? 'applied';
    const commit = commitOf(files);
    const snapshot = { commit: { id: commit, author: await this.authorOf(caller), message: 'Applied without Git', committedAt: new Date() }, files, skipped: new Map<string, string>() };
    const manifest = await compileManifest(files);
    if (dryRun) {
      const [existing] = await this.dataSource.query<{ id: number }[]>(
        'SELECT id FROM git_repository WHERE organization_id = $1 AND name = $2 AND url IS NULL',
        [caller.organizationId, name],
      );
      return { id: existing?.id ?? null, commit, assessment: await this.assessApplied(caller, existing?.id ?? 0, request, manifest) };
    }
    const id = await this.uniquelyNamed(name, async (transaction) => {
      const applied = await appliedSet(transaction, caller, name, request);
      await writeAudit(transaction, caller, [applied], AUDITED_AS);
      return applied;
    });
    await this.snapshots.keep(id, snapshot);
    const assessment = await this.assessApplied(caller, id, request, manifest);
    await this.dataSource.query(
      `UPDATE git_repository SET fetched_commit = $3, fetched_at = now(), requested = 'apply', next_pass_at = now()
        WHERE organization_id = $1 AND id = $2`,
      [caller.organizationId, id, commit],
    );
    this.watcher.wake();
    return { id, commit, assessment };
  }

  private async assessApplied({ organizationId }: KeyHolder, id: number, request: ApplyPayload, manifest: CompiledManifest): Promise<Assessment> {
    const { environments = [], prune = false, prune_limit: pruneLimit = 10 } = request;
    return await this.assessments.assess({ id, organizationId, environments, prune, pruneLimit }, manifest, 0);
  }

  private async authorOf({ userId }: KeyHolder): Promise<string> {
    const [{ email }] = await this.dataSource.query<[{ email: string }]>('SELECT email FROM user_account WHERE id = $1', [userId]);
    return email;
  }

  private async known(repository: PreviewedRepository): Promise<{ commit: string; manifest: CompiledManifest }> {
    const commit = repository.pinnedCommit ?? repository.fetchedCommit;
    const snapshot = commit === null ? undefined : await this.snapshots.load(repository.id, commit);
    if (snapshot === undefined) throw badRequest(`${repository.name} has not been fetched yet${repository.fetchError === null ? '' : `: ${repository.fetchError}`}`);
    return { commit: commit!, manifest: snapshot.manifest };
  }

  private async lookAt(repository: PreviewedRepository, ref: string): Promise<{ commit: string; manifest: CompiledManifest }> {
    const { commit, files, skipped } = await this.fetchNow(repository, ref);
    return { commit: commit.id, manifest: await compileManifest(files, skipped) };
  }

  private async fetchNow(repository: PreviewedRepository, ref: string): Promise<GitSnapshot> {
    if (repository.url === null) throw badRequest(`${repository.name} is of files that were sent; it has no branches.`);
    try {
      return (await this.desired.fetchAt(repository, ref)) as GitSnapshot;
    } catch (error) {
      if (error instanceof GitError) throw badRequest(error.message);
      throw error;
    }
  }

  private async keptCommit(id: number, commit: string): Promise<string | undefined> {
    const rows = await this.dataSource.query<{ commit: string }[]>(
      'SELECT commit FROM gitops_snapshot WHERE git_repository_id = $1 AND starts_with(commit, $2) LIMIT 2',
      [id, commit],
    );
    if (rows.length > 1) throw badRequest(`Several commits begin with ${commit}. Give more of its digits.`);
    return rows[0]?.commit;
  }

  private async fetchedCommit(repository: PreviewedRepository, commit: string): Promise<string> {
    if (commit.length < 40 || repository.url === null)
      throw badRequest(`No commit that was applied begins with ${commit}. Give one of GET …/syncs, or all forty digits of another.`);
    const snapshot = await this.fetchNow(repository, commit);
    await this.snapshots.keep(repository.id, snapshot);
    return snapshot.commit.id;
  }

  private async previewed(organizationId: OrganizationId, id: number): Promise<PreviewedRepository> {
    const [repository] = await this.dataSource.query<PreviewedRepository[]>(
      `SELECT ${REPOSITORY_COLUMNS} FROM git_repository g WHERE g.organization_id = $1 AND g.id = $2`,
      [organizationId, id],
    );
    if (repository === undefined) throw notFound(REPOSITORY);
    return repository;
  }

  private async change(
    caller: KeyHolder,
    id: number,
    requested: SyncTrigger | null,
    message: string,
    decide: (repository: LockedRepository) => Record<string, unknown>,
  ): Promise<string> {
    const name = await this.dataSource.transaction(async (transaction) => {
      const repository = await lock(transaction, caller.organizationId, id);
      const { paused = repository.paused, pinned_commit = repository.pinnedCommit } = decide(repository);
      await transaction.query(
        `UPDATE git_repository SET paused = $3, pinned_commit = $4, requested = coalesce($5, requested), next_pass_at = now()
          WHERE organization_id = $1 AND id = $2`,
        [caller.organizationId, id, paused, pinned_commit, requested],
      );
      await tell(transaction, caller, 'GitRepositoryChanged', id, repository.name, message);
      return repository.name;
    });
    this.watcher.wake();
    return name;
  }

  private check({ url, ref, callback_url }: UpdateGitRepository): void {
    if (url !== undefined) parseGitUrl(url, this.egress);
    if (ref !== undefined) checkRef(ref);
    if (callback_url !== undefined && callback_url !== null) this.egress.checkUrl(callback_url);
  }

  private sealed(credentials: GitCredentialsPayload | null | undefined): Buffer | null {
    if (credentials === undefined || credentials === null) return null;
    const { token, username, private_key: privateKey } = credentials;
    if ((token === undefined) === (privateKey === undefined)) throw badRequest('credentials must have either token or private_key.');
    const value: GitCredentials =
      token !== undefined ? { kind: 'token', token, ...(username !== undefined && { username }) } : { kind: 'deploy_key', privateKey: privateKey! };
    return this.secrets.seal(value);
  }

  private async read(on: EntityManager, organizationId: OrganizationId, id: number): Promise<GitRepositoryRow> {
    const [row] = await on.query<GitRepositoryRow[]>(`${SELECT} AND g.id = $2`, [organizationId, id]);
    if (row === undefined) throw notFound(REPOSITORY);
    return row;
  }

  private async uniquelyNamed<Result>(name: string, change: (transaction: EntityManager) => Promise<Result>): Promise<Result> {
    try {
      return await this.dataSource.transaction(change);
    } catch (error) {
      if (violatedUnique(error) === 'uq_git_repository_organization_id_name')
        throw alreadyExists(`There is already a repository '${name}' in your organization. Choose another name.`);
      throw error;
    }
  }
}

interface LockedRepository {
  readonly name: string;
  readonly url: string | null;
  readonly userId: UserId;
  readonly paused: boolean;
  readonly pinnedCommit: string | null;
}

async function lock(transaction: EntityManager, organizationId: OrganizationId, id: number): Promise<LockedRepository> {
  const [row] = await transaction.query<LockedRepository[]>(
    `SELECT name, url, user_id AS "userId", paused, pinned_commit AS "pinnedCommit" FROM git_repository
      WHERE organization_id = $1 AND id = $2 FOR UPDATE`,
    [organizationId, id],
  );
  if (row === undefined) throw notFound(REPOSITORY);
  return row;
}

async function insert(transaction: EntityManager, caller: KeyHolder, name: string, role: string | undefined, columns: Record<string, unknown>): Promise<number> {
  const user_id = await makeServiceAccount(transaction, caller, name, role);
  const row: Record<string, unknown> = { organization_id: caller.organizationId, name, user_id, ...columns };
  const [{ id }] = await transaction.query<[{ id: number }]>(
    `INSERT INTO git_repository (${Object.keys(row).join(', ')}) VALUES (${Object.keys(row).map((_, index) => `$${index + 1}`).join(', ')}) RETURNING id`,
    Object.values(row),
  );
  return id;
}

async function appliedSet(
  transaction: EntityManager,
  caller: KeyHolder,
  name: string,
  { environments = [], prune = false, prune_limit = 10, role }: ApplyPayload,
): Promise<number> {
  const [existing] = await transaction.query<{ id: number; url: string | null; user_id: UserId }[]>(
    'SELECT id, url, user_id FROM git_repository WHERE organization_id = $1 AND name = $2 FOR UPDATE',
    [caller.organizationId, name],
  );
  if (existing === undefined)
    return await insert(transaction, caller, name, role, {
      url: null,
      ref: '',
      path: '',
      environments,
      poll_seconds: 300,
      prune,
      prune_limit,
      mode: 'apply',
      drift_policy: 'report',
    });
  if (existing.url !== null) throw alreadyExists(`${name} is a Git repository. Apply under another name.`);
  await requireAccountHeld(transaction, caller, existing.user_id);
  if (role !== undefined) await giveRole(transaction, caller, existing.user_id, role);
  await transaction.query('UPDATE git_repository SET environments = $2, prune = $3, prune_limit = $4, paused = false, pinned_commit = NULL WHERE id = $1', [
    existing.id,
    environments,
    prune,
    prune_limit,
  ]);
  return existing.id;
}

/** In the events and in the audit. */
async function tell(transaction: EntityManager, caller: KeyHolder, reason: string, id: number, object: string, message: string): Promise<void> {
  const { organizationId, userId } = caller;
  await writeAudit(transaction, caller, [id], AUDITED_AS);
  await transaction.query('INSERT INTO event (organization_id, user_id, reason, object, message) VALUES ($1, $2, $3, $4, $5)', [
    organizationId,
    userId,
    reason,
    object,
    message,
  ]);
}

/** `cloud` of `https://example.org/team/cloud.git`. */
function nameFrom(url: string): string {
  const last = url.replace(/\/+$/, '').split(/[/:]/).at(-1)!.replace(/\.git$/, '');
  const name = last.replace(/[^A-Za-z0-9._-]/g, '-').replace(/^[^A-Za-z0-9]+/, '').slice(0, 100);
  return name === '' ? 'repository' : name;
}

function checkedFiles(files: Record<string, unknown>): Map<string, Buffer> {
  const entries = Object.entries(files);
  if (entries.length > MOST_FILES) throw badRequest(`files may have at most ${MOST_FILES}.`);
  return new Map(
    entries
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([path, text]) => {
        if (typeof text !== 'string') throw badRequest('files must have a text for each path.');
        if (path.length > MAX_PATH_LENGTH || /^\/|(^|\/)\.\.?(\/|$)|[\p{C}\\]/u.test(path))
          throw badRequest('Paths of files must be relative, without . and .., and without control characters.');
        return [path, Buffer.from(text)];
      }),
  );
}

/** What was sent has no commit, but what stands for one: the same files, the same name. */
function commitOf(files: ReadonlyMap<string, Buffer>): string {
  const hash = createHash('sha256');
  for (const [path, content] of files) hash.update(`${path}\0${content.length}\0`).update(content);
  return hash.digest('hex').slice(0, 40);
}
