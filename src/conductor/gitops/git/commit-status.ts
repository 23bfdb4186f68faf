/**
 * Says on a commit, where its forge shows it, what Baton would do or has done with it. Only forges whose API takes the
 * token that the repository is fetched with; the token goes to the forge of the repository alone, and nothing that the
 * forge answers is shown.
 *
 * Sources: GitHub "Create a commit status", GitLab "Set commit pipeline status", Gitea "repoCreateStatus".
 */
import { Injectable, type OnApplicationShutdown } from '@nestjs/common';
import type { Agent } from 'undici';
import { EgressPolicy } from '../../egress/egress-policy.js';

export const FORGES = ['github', 'gitlab', 'gitea'] as const;
export type Forge = (typeof FORGES)[number];

export interface CommitStatus {
  readonly state: 'pending' | 'success' | 'failure';
  readonly description: string;
  /** Which of the statuses of a commit this is: a later one of the same context replaces it. */
  readonly context: string;
}

export interface CommitStatusProblem {
  /** In words for the repository's owner. */
  readonly message: string;
  /** It may be gone at another time. */
  readonly passing: boolean;
}

export interface ForgeRepository {
  readonly url: string;
  /** Default: what the host is known for. */
  readonly forge?: Forge;
  readonly token: string;
}

const KNOWN_HOSTS: Readonly<Record<string, Forge>> = { 'github.com': 'github', 'gitlab.com': 'gitlab', 'codeberg.org': 'gitea' };
const LONGEST_DESCRIPTION = 140;
const WITHIN_MS = 10_000;
const DISCARDED_BYTES = 64 * 1024;

interface StatusRequest {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: object;
}

@Injectable()
export class CommitStatusPoster implements OnApplicationShutdown {
  private readonly agent: Agent;

  constructor(private readonly egress: EgressPolicy) {
    this.agent = egress.createAgent({ connectionsPerOrigin: 2 });
  }

  /** @returns why it could not be posted; undefined when it was. Never throws. */
  async post(repository: ForgeRepository, commit: string, status: CommitStatus): Promise<CommitStatusProblem | undefined> {
    const request = statusRequest(repository, commit, status);
    if (!request) return { message: 'The host is no forge that Baton knows: name it as github, gitlab or gitea.', passing: false };
    try {
      this.egress.checkUrl(request.url.href);
      const signal = AbortSignal.timeout(WITHIN_MS);
      const { statusCode, body } = await this.agent.request({
        origin: request.url.origin,
        path: request.url.pathname,
        method: 'POST',
        headers: { 'content-type': 'application/json', accept: 'application/json', 'user-agent': 'baton', ...request.headers },
        body: JSON.stringify(request.body),
        signal,
      });
      await body.dump({ limit: DISCARDED_BYTES, signal }).catch(() => undefined);
      if (statusCode >= 200 && statusCode < 300) return undefined;
      return statusCode >= 500 || statusCode === 429
        ? { message: `The forge answered ${statusCode}.`, passing: true }
        : { message: `The forge answered ${statusCode}: may the token write commit statuses?`, passing: false };
    } catch {
      return { message: 'The forge could not be reached.', passing: true };
    }
  }

  async onApplicationShutdown(): Promise<void> {
    await this.agent.destroy();
  }
}

/** Undefined where the host is not known for one, and none was named. */
export const forgeOf = ({ url, forge }: Pick<ForgeRepository, 'url' | 'forge'>): Forge | undefined => forge ?? KNOWN_HOSTS[placeOf(url).host];

/** @returns undefined where no forge is known. */
export function statusRequest(repository: ForgeRepository, commit: string, status: CommitStatus): StatusRequest | undefined {
  const { origin, host, path } = placeOf(repository.url);
  const forge = forgeOf(repository);
  const description = status.description.slice(0, LONGEST_DESCRIPTION);
  const { state, context } = status;
  switch (forge) {
    case 'github': {
      const base = host === 'github.com' ? 'https://api.github.com' : `${origin}/api/v3`;
      const headers = { authorization: `Bearer ${repository.token}`, 'x-github-api-version': '2022-11-28' };
      return { url: new URL(`${base}/repos/${path}/statuses/${commit}`), headers, body: { state, description, context } };
    }
    case 'gitlab': {
      const project = encodeURIComponent(path);
      const headers = { 'private-token': repository.token };
      const inGitLab = state === 'failure' ? 'failed' : state;
      return { url: new URL(`${origin}/api/v4/projects/${project}/statuses/${commit}`), headers, body: { state: inGitLab, description, name: context } };
    }
    case 'gitea': {
      const headers = { authorization: `token ${repository.token}` };
      return { url: new URL(`${origin}/api/v1/repos/${path}/statuses/${commit}`), headers, body: { state, description, context } };
    }
    case undefined:
      return undefined;
  }
}

/** An ssh address is that of the same host's API over https. */
function placeOf(url: string): { origin: string; host: string; path: string } {
  const plain = (path: string): string => path.replace(/^\/+/, '').replace(/\/+$/, '').replace(/\.git$/, '');
  if (/^https?:/i.test(url)) {
    const { origin, hostname, pathname } = new URL(url);
    return { origin, host: hostname, path: plain(pathname) };
  }
  const [, host = '', path = ''] = /^(?:ssh:\/\/)?(?:[^@/]+@)?([^:/]+)(?::\d+\/|[:/])(.*)$/.exec(url) ?? [];
  return { origin: `https://${host}`, host, path: plain(path) };
}
