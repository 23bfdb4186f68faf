/** What a repository says at this moment: the commit that it was rolled back to, or the newest of its branch. */
import { Injectable, type OnModuleDestroy } from '@nestjs/common';
import { ApiError } from '../../http/api-error.js';
import type { GitCredentials } from '../git/git-connection.js';
import { GitError } from '../git/git-error.js';
import { GitFetcher, type GitSnapshot } from '../git/git-fetcher.js';
import { SealedSecrets } from '../sealed-secrets.js';
import type { LeasedRepository } from './leases.js';
import { Snapshots, type KeptSnapshot } from './snapshots.js';
import { Syncs } from './syncs.js';

export type FetchedRepository = Pick<LeasedRepository, 'url' | 'path' | 'credentials' | 'hostKeys'>;

@Injectable()
export class DesiredState implements OnModuleDestroy {
  private readonly ending = new AbortController();

  constructor(
    private readonly fetcher: GitFetcher,
    private readonly secrets: SealedSecrets,
    private readonly snapshots: Snapshots,
    private readonly syncs: Syncs,
  ) {}

  /** A server that takes its time keeps no conductor from ending. */
  onModuleDestroy(): void {
    this.ending.abort();
  }

  /**
   * @param goingOn a sync is being carried out: the server is asked again only when it is time, or a push came.
   * @returns nothing as long as nothing could be fetched, and when the conductor ends meanwhile.
   */
  async current(repository: LeasedRepository, goingOn: boolean): Promise<KeptSnapshot | undefined> {
    const known = repository.fetchedCommit;
    const commit = repository.pinnedCommit ?? (this.isDue(repository, goingOn) ? await this.fetch(repository) : known);
    return commit === null ? undefined : await this.snapshots.load(repository.id, commit);
  }

  private isDue({ url, requested, fetchedAt, pollSeconds }: LeasedRepository, goingOn: boolean): boolean {
    if (url === null) return false;
    return !goingOn || requested !== null || fetchedAt === null || fetchedAt.getTime() + pollSeconds * 1_000 <= Date.now();
  }

  /** @returns the newest commit; the one that was known where none could be fetched; null when the conductor ends. */
  private async fetch(repository: LeasedRepository): Promise<string | null> {
    const { fetchedCommit, hostKeys } = repository;
    try {
      const fetched = await this.fetchAt(repository, repository.ref, fetchedCommit ?? undefined);
      if (fetched !== 'unchanged') await this.snapshots.keep(repository.id, fetched);
      const commit = fetched === 'unchanged' ? fetchedCommit! : fetched.commit.id;
      await this.syncs.fetched(repository, commit, (fetched === 'unchanged' ? undefined : fetched.hostKeys) ?? hostKeys);
      return commit;
    } catch (error) {
      if (this.ending.signal.aborted) return null;
      if (!(error instanceof GitError || error instanceof ApiError)) throw error;
      await this.syncs.fetchFailed(repository, error.message);
      return fetchedCommit;
    }
  }

  /**
   * @param ref of another branch or commit than the repository follows, to look at or to go back to.
   * @throws GitError in words that its owner may read; ApiError for a ref that could never be fetched.
   */
  async fetchAt(repository: FetchedRepository, ref: string, knownCommit?: string): Promise<GitSnapshot | 'unchanged'> {
    const { url, path, credentials, hostKeys } = repository;
    const source = {
      url: url!,
      ref,
      path,
      ...(credentials !== null && { credentials: this.secrets.open<GitCredentials>(credentials) }),
      ...(hostKeys !== null && { hostKeys }),
      ...(knownCommit !== undefined && { knownCommit }),
    };
    return await this.fetcher.fetch(source, this.ending.signal);
  }
}
