/**
 * Reads the files of one commit from somebody's repository. There is never a checkout: objects are fetched into a bare
 * repository in a folder that lives as long as the call, and blobs are read from it, so that symbolic links, submodules,
 * filters, attributes and hooks of the repository mean nothing. A ref that has not moved costs one question to the
 * remote.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EgressPolicy } from '../../egress/egress-policy.js';
import { prepareConnection, type GitConnection, type GitCredentials } from './git-connection.js';
import { GitError } from './git-error.js';
import { problemOf } from './git-problems.js';
import { GIT_LIMITS, runGit, type GitLimits } from './git-process.js';
import { candidates, checkRef, isCommit } from './git-ref.js';
import { readTree, type GitCommand, type TreeContent } from './git-tree.js';
import { parseGitUrl } from './git-url.js';

export interface GitSource {
  readonly url: string;
  /** A branch, a tag, a full ref, or a commit by its 40 digits. */
  readonly ref: string;
  /** Folder within the repository; empty for all of it. */
  readonly path: string;
  readonly credentials?: GitCredentials;
  /** What `GitSnapshot.hostKeys` said at the first fetch, over ssh. */
  readonly hostKeys?: string;
  /** The commit that the caller has already. */
  readonly knownCommit?: string;
}

export interface GitCommit {
  readonly id: string;
  readonly author: string;
  /** The first line. */
  readonly message: string;
  readonly committedAt: Date;
}

export interface GitSnapshot extends TreeContent {
  readonly commit: GitCommit;
  readonly hostKeys?: string;
}

const WITHIN_MS = 60_000;
const REPOSITORY = 'repository.git';
const FETCHED = 'refs/baton/fetched';
const COMMIT_FORMAT = '--format=%H%x00%an <%ae>%x00%ct%x00%s';

export class GitFetcher {
  constructor(
    private readonly egress: EgressPolicy,
    private readonly limits: GitLimits = GIT_LIMITS,
  ) {}

  /**
   * @returns 'unchanged' when the ref still is at `knownCommit`.
   * @throws GitError, whose message its owner may read; ApiError 400 for a URL, ref or path that could never be fetched.
   */
  async fetch(source: GitSource, stop?: AbortSignal): Promise<GitSnapshot | 'unchanged'> {
    const url = parseGitUrl(source.url, this.egress);
    checkRef(source.ref);
    const timeout = AbortSignal.timeout(WITHIN_MS);
    const signal = stop ? AbortSignal.any([stop, timeout]) : timeout;
    const folder = await mkdtemp(join(tmpdir(), 'baton-git-'));
    try {
      const { credentials, hostKeys } = source;
      const connection = await prepareConnection({ url, credentials, hostKeys, folder }, this.egress);
      return await fetchSnapshot(source, connection, gitIn(folder, connection, this.limits, signal));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
}

function gitIn(folder: string, { settings, environment }: GitConnection, limits: GitLimits, signal: AbortSignal): GitCommand {
  return async (args, stdin) => {
    const { exitCode, stdout, stderr } = await runGit({ args, folder, settings, environment, stdin, limits, signal });
    if (exitCode !== 0) throw problemOf(stderr);
    return stdout;
  };
}

async function fetchSnapshot(source: GitSource, connection: GitConnection, git: GitCommand): Promise<GitSnapshot | 'unchanged'> {
  const { url, ref, path, knownCommit } = source;
  const commit = isCommit(ref) ? ref : await resolve(git, url, ref);
  if (commit === knownCommit) return 'unchanged';
  await git(['init', '--quiet', '--bare', '--template=', '--initial-branch=none', REPOSITORY]);
  const inRepository: GitCommand = (args, stdin) => git([`--git-dir=${REPOSITORY}`, ...args], stdin);
  await inRepository(['fetch', '--quiet', '--depth=1', '--no-tags', '--no-write-fetch-head', '--', url, `+${commit}:${FETCHED}`]);
  return {
    ...(await readTree(inRepository, FETCHED, path)),
    commit: await describe(inRepository),
    hostKeys: await connection.seenHostKeys(),
  };
}

async function resolve(git: GitCommand, url: string, ref: string): Promise<string> {
  const wanted = candidates(ref);
  const lines = (await git(['ls-remote', '--', url, ...wanted])).toString('utf8').split('\n');
  const commits = new Map(lines.map((line) => line.split('\t')).map(([id, name]) => [name, id]));
  const found = wanted.map((name) => commits.get(name)).find((id) => id !== undefined);
  if (found === undefined || !isCommit(found)) throw new GitError('no_ref', `The repository has no branch or tag ${ref}.`);
  return found;
}

async function describe(git: GitCommand): Promise<GitCommit> {
  const shown = await git(['show', '--no-patch', '--no-show-signature', '--no-mailmap', COMMIT_FORMAT, FETCHED]);
  const [id, author, seconds, message] = shown.toString('utf8').trimEnd().split('\0');
  if (id === undefined || !isCommit(id)) throw new GitError('broken', 'What was fetched is no commit.');
  return { id, author: author!, committedAt: new Date(Number(seconds) * 1000), message: message! };
}
