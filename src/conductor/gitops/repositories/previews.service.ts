/**
 * Looks at what a repository says, now or at another commit, and at what came of it. Changes nothing in the cloud; what
 * a preview fetches is not kept.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { OrganizationId } from '../../../protocol/ids.js';
import { badRequest, notFound } from '../../http/api-error.js';
import type { Page } from '../../http/envelope.js';
import { GitError } from '../git/git-error.js';
import type { GitSnapshot } from '../git/git-fetcher.js';
import { compileManifest, type CompiledManifest } from '../manifest/compile.js';
import { Assessments, type Assessment } from '../reconcile/assessment.js';
import { CommitReports } from '../reconcile/commit-reports.js';
import { DesiredState } from '../reconcile/desired-state.js';
import { REPOSITORY_COLUMNS, type LeasedRepository } from '../reconcile/leases.js';
import { Snapshots } from '../reconcile/snapshots.js';
import { Ownership, type OwnedResource } from '../state/ownership.js';
import { readRepository, REPOSITORY, SYNC_COLUMNS } from './repository-rows.js';
import type { SyncRow } from './sync.responses.js';

type PreviewedRepository = Omit<LeasedRepository, 'lease' | 'granted' | 'requested'>;

@Injectable()
export class PreviewsService {
  constructor(
    private readonly dataSource: DataSource,
    private readonly desired: DesiredState,
    private readonly snapshots: Snapshots,
    private readonly assessments: Assessments,
    private readonly ownership: Ownership,
    private readonly reports: CommitReports,
  ) {}

  /** @param ref another than the one that is followed. */
  async plan(organizationId: OrganizationId, id: number, ref: string | undefined): Promise<{ commit: string; assessment: Assessment }> {
    const repository = await this.previewed(organizationId, id);
    const { commit, manifest } = ref === undefined ? await this.known(repository) : await this.lookAt(repository, ref);
    const assessment = await this.assessments.assess(repository, manifest, 0);
    if (ref !== undefined) this.reports.planned(repository, commit, assessment);
    return { commit, assessment };
  }

  async syncs(organizationId: OrganizationId, id: number, page: Page): Promise<{ rows: SyncRow[]; count: number }> {
    await readRepository(this.dataSource.manager, organizationId, id);
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
    await readRepository(this.dataSource.manager, organizationId, id);
    return await this.ownership.list({ id, organizationId });
  }

  /**
   * @param commit the beginning of one that was applied, or another's in full.
   * @returns it in full, kept so that a pass needs no Git server for it.
   */
  async commitToGoBackTo(organizationId: OrganizationId, id: number, commit: string): Promise<string> {
    const repository = await this.previewed(organizationId, id);
    return (await this.keptCommit(id, commit)) ?? (await this.fetchedCommit(repository, commit));
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
}
