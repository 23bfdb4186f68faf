/**
 * Files that are sent, as a repository without a URL: made so by the same passes as those of Git.
 */
import { Injectable } from '@nestjs/common';
import { createHash } from 'node:crypto';
import { DataSource, type EntityManager } from 'typeorm';
import type { UserId } from '../../../protocol/ids.js';
import { alreadyExists, badRequest } from '../../http/api-error.js';
import type { KeyHolder } from '../../identity/principal.js';
import { compileManifest, type CompiledManifest } from '../manifest/compile.js';
import { Assessments, type Assessment } from '../reconcile/assessment.js';
import { Snapshots } from '../reconcile/snapshots.js';
import { GitopsWatcher } from '../reconcile/watcher.js';
import type { ApplyPayload } from './git-repository.requests.js';
import { auditRepository, insertRepository, uniquelyNamed } from './repository-rows.js';
import { giveRole, requireAccountHeld } from './service-accounts.js';

/** Of files that are sent: a body has no more than a mebibyte anyway. */
const MOST_FILES = 1_000;
const MAX_PATH_LENGTH = 500;

@Injectable()
export class AppliedFilesService {
  constructor(
    private readonly dataSource: DataSource,
    private readonly snapshots: Snapshots,
    private readonly assessments: Assessments,
    private readonly watcher: GitopsWatcher,
  ) {}

  /** @returns what will be done; how it went is in the syncs of `id`. */
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
    const id = await uniquelyNamed(this.dataSource, name, async (transaction) => {
      const applied = await this.appliedSet(transaction, caller, name, request);
      await auditRepository(transaction, caller, applied);
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

  private async appliedSet(transaction: EntityManager, caller: KeyHolder, name: string, { environments = [], prune = false, prune_limit = 10, role }: ApplyPayload): Promise<number> {
    const [existing] = await transaction.query<{ id: number; url: string | null; user_id: UserId }[]>(
      'SELECT id, url, user_id FROM git_repository WHERE organization_id = $1 AND name = $2 FOR UPDATE',
      [caller.organizationId, name],
    );
    if (existing === undefined)
      return await insertRepository(transaction, caller, name, role, {
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

  private async authorOf({ userId }: KeyHolder): Promise<string> {
    const [{ email }] = await this.dataSource.query<[{ email: string }]>('SELECT email FROM user_account WHERE id = $1', [userId]);
    return email;
  }
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
