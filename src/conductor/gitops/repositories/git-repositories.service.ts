/**
 * Owns what is configured of a repository, and asks for passes; what is found and done is written by whoever holds the
 * lease (`reconcile/`). Every statement names the organization.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { randomBytes } from 'node:crypto';
import type { OrganizationId } from '../../../protocol/ids.js';
import { EgressPolicy } from '../../egress/egress-policy.js';
import { badRequest } from '../../http/api-error.js';
import type { KeyHolder } from '../../identity/principal.js';
import type { GitCredentials } from '../git/git-connection.js';
import { checkRef } from '../git/git-ref.js';
import { parseGitUrl, serverOf } from '../git/git-url.js';
import type { SyncTrigger } from '../git-repository.entity.js';
import { GitopsWatcher } from '../reconcile/watcher.js';
import { SealedSecrets } from '../sealed-secrets.js';
import type { CreateGitRepository, GitCredentialsPayload, UpdateGitRepository } from './git-repository.requests.js';
import type { GitRepositoryRow } from './git-repository.responses.js';
import { PreviewsService } from './previews.service.js';
import { insertRepository, listRepositories, lockRepository, readRepository, tellOfRepository, uniquelyNamed, type LockedRepository } from './repository-rows.js';
import { endServiceAccount, giveRole, requireAccountHeld } from './service-accounts.js';

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
  'forge',
  'commit_status',
] as const satisfies readonly (keyof UpdateGitRepository)[];

/** A pass that is under way loses its lease, so that it cannot write what it fetched from the place before. */
const FETCHED_ANEW = { fetched_commit: null, pinned_commit: null, fetch_error: null, lease: null, lease_until: null };

@Injectable()
export class GitRepositoriesService {
  constructor(
    private readonly dataSource: DataSource,
    private readonly egress: EgressPolicy,
    private readonly secrets: SealedSecrets,
    private readonly previews: PreviewsService,
    private readonly watcher: GitopsWatcher,
  ) {}

  list(organizationId: OrganizationId): Promise<GitRepositoryRow[]> {
    return listRepositories(this.dataSource.manager, organizationId);
  }

  async get(organizationId: OrganizationId, id: number): Promise<GitRepositoryRow> {
    return await readRepository(this.dataSource.manager, organizationId, id);
  }

  /** @returns the secret too that pushes are signed with, where it was made here. */
  async create(caller: KeyHolder, request: CreateGitRepository): Promise<{ row: GitRepositoryRow; webhookSecret: string | undefined }> {
    this.check(request);
    const name = request.name ?? nameFrom(request.url);
    const made = request.webhook_secret === undefined && this.secrets.available ? randomBytes(24).toString('base64url') : undefined;
    const webhookSecret = request.webhook_secret ?? made;
    const row = await uniquelyNamed(this.dataSource, name, async (transaction) => {
      const id = await insertRepository(transaction, caller, name, request.role, {
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
        forge: request.forge ?? null,
        commit_status: request.commit_status ?? true,
        requested: 'created',
      });
      await tellOfRepository(transaction, caller, 'GitRepositoryAdded', id, name, `Added, following ${request.ref ?? 'main'} of ${request.url}.`);
      return await readRepository(transaction, caller.organizationId, id);
    });
    this.watcher.wake();
    return { row, webhookSecret: made };
  }

  async update(caller: KeyHolder, id: number, request: UpdateGitRepository): Promise<GitRepositoryRow> {
    this.check(request);
    const { role, credentials, webhook_secret } = request;
    const changes: Record<string, unknown> = { ...Object.fromEntries(SETTABLE.map((column) => [column, request[column]])), commit_status_error: null };
    if (credentials !== undefined) changes['credentials'] = this.sealed(credentials);
    if (webhook_secret !== undefined) changes['webhook_secret'] = this.secrets.seal(webhook_secret);
    // Files of another place: what was fetched there says nothing any more.
    if (request.url !== undefined || request.path !== undefined || request.ref !== undefined)
      Object.assign(changes, { ...FETCHED_ANEW, ...(request.url !== undefined && { host_keys: null }) });
    const row = await uniquelyNamed(this.dataSource, request.name ?? '', async (transaction) => {
      const account = await lockRepository(transaction, caller.organizationId, id);
      if (request.url !== undefined && account.url === null) throw badRequest('This repository is of files that were sent; it has no URL.');
      if (request.url !== undefined && credentials === undefined && account.hasCredentials) this.requireSameServer(account.url!, request.url);
      await requireAccountHeld(transaction, caller, account.userId);
      if (role !== undefined) await giveRole(transaction, caller, account.userId, role);
      const columns = Object.keys(changes).filter((column) => changes[column] !== undefined);
      const assignments = columns.map((column, index) => `${column} = $${index + 3}`);
      await transaction.query(
        `UPDATE git_repository SET ${[...assignments, `requested = coalesce(requested, 'manual')`, 'next_pass_at = now()'].join(', ')}
          WHERE organization_id = $1 AND id = $2`,
        [caller.organizationId, id, ...columns.map((column) => changes[column])],
      );
      await tellOfRepository(transaction, caller, 'GitRepositoryChanged', id, account.name, 'Its settings were changed.');
      return await readRepository(transaction, caller.organizationId, id);
    });
    this.watcher.wake();
    return row;
  }

  /** What it made stays, and is nobody's. */
  async remove(caller: KeyHolder, id: number): Promise<string> {
    return await this.dataSource.transaction(async (transaction) => {
      const { name, userId } = await lockRepository(transaction, caller.organizationId, id);
      await transaction.query('DELETE FROM git_repository WHERE organization_id = $1 AND id = $2', [caller.organizationId, id]);
      await endServiceAccount(transaction, caller.organizationId, userId);
      await tellOfRepository(transaction, caller, 'GitRepositoryRemoved', id, name, 'Removed. What it made stays.');
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
    const full = await this.previews.commitToGoBackTo(caller.organizationId, id, commit);
    await this.change(caller, id, 'rollback', `Rolled back to ${full}.`, () => ({ paused: false, pinned_commit: full }));
    return full;
  }

  private async change(
    caller: KeyHolder,
    id: number,
    requested: SyncTrigger | null,
    message: string,
    decide: (repository: LockedRepository) => Record<string, unknown>,
  ): Promise<string> {
    const name = await this.dataSource.transaction(async (transaction) => {
      const repository = await lockRepository(transaction, caller.organizationId, id);
      const { paused = repository.paused, pinned_commit = repository.pinnedCommit } = decide(repository);
      await transaction.query(
        `UPDATE git_repository SET paused = $3, pinned_commit = $4, requested = coalesce($5, requested), next_pass_at = now()
          WHERE organization_id = $1 AND id = $2`,
        [caller.organizationId, id, paused, pinned_commit, requested],
      );
      await tellOfRepository(transaction, caller, 'GitRepositoryChanged', id, repository.name, message);
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

  /** Whoever may change a repository need not know its token, and shall not have it sent to himself. */
  private requireSameServer(before: string, after: string): void {
    const servers = [before, after].map((url) => serverOf(parseGitUrl(url, this.egress)));
    if (servers[0] !== servers[1]) throw badRequest('The URL is of another server, which the credentials are not for. Give credentials too; null for none.');
  }

  private sealed(credentials: GitCredentialsPayload | null | undefined): Buffer | null {
    if (credentials === undefined || credentials === null) return null;
    const { token, username, private_key: privateKey } = credentials;
    if ((token === undefined) === (privateKey === undefined)) throw badRequest('credentials must have either token or private_key.');
    const value: GitCredentials =
      token !== undefined ? { kind: 'token', token, ...(username !== undefined && { username }) } : { kind: 'deploy_key', privateKey: privateKey! };
    return this.secrets.seal(value);
  }
}

/** `cloud` of `https://example.org/team/cloud.git`. */
function nameFrom(url: string): string {
  const last = url.replace(/\/+$/, '').split(/[/:]/).at(-1)!.replace(/\.git$/, '');
  const name = last.replace(/[^A-Za-z0-9._-]/g, '-').replace(/^[^A-Za-z0-9]+/, '').slice(0, 100);
  return name === '' ? 'repository' : name;
}
