/** Git repositories of desired state as their owner uses them: pushed to, shown and waited for. */
import { expect } from '@jest/globals';
import type { GitClone, GitServer } from '../fixtures/git-server.js';
import type { Cloud, Json } from './cloud.js';
import { eventually } from './eventually.js';

interface VmOptions {
  readonly flavor?: string;
  readonly image?: string;
  readonly labels?: string;
  readonly more?: string;
  readonly protect?: boolean;
  readonly environment?: string;
}

/** A document of a machine. */
export const vmDocument = (name: string, { flavor = 'tiny-1', image = 'tiny', labels = '', more = '', protect = false, environment = 'demo' }: VmOptions = {}): string => `
apiVersion: baton/v1
kind: VirtualMachine
metadata: { name: ${name}, environment: ${environment}, labels: [${labels}], protect: ${protect} }
spec: { flavor: ${flavor}, image: ${image}, keypairs: [demo]${more} }
`;

/** Of a sync: verb, resource, fields and result of each action. */
export const toldActions = ({ actions }: Json): string[] => actions.map(({ verb, resource, fields, result }: Json) => [verb, resource, ...fields, result].join(' '));

export class GitopsRepository {
  private constructor(
    private readonly cloud: Cloud,
    readonly id: number,
    readonly name: string,
    readonly clone: GitClone,
    readonly webhookSecret: string,
  ) {}

  /** @param change of what is sent; without it, the repository is followed over HTTP and pruned. */
  static async add(cloud: Cloud, server: GitServer, change: object = {}, first: Readonly<Record<string, string>> = {}): Promise<GitopsRepository> {
    const name = `repository-${(added += 1)}`;
    const clone = await server.repository(name);
    await clone.push({ 'README.md': 'Desired state', ...first }, 'Begin');
    const request = { name, url: server.httpUrl(name), poll_seconds: 3600, prune: true, ...(server.token !== undefined && { credentials: { token: server.token } }), ...change };
    const { status, body } = await cloud.request('POST', '/gitops/git-repo', request);
    expect({ status, message: body.message }).toEqual({ status: 200, message: 'Git repository added' });
    return new GitopsRepository(cloud, body.git_repo.id, name, clone, body.webhook_secret);
  }

  async show(): Promise<Json> {
    return (await this.cloud.request('GET', `/gitops/git-repo/${this.id}`)).body.git_repo;
  }

  async syncs(): Promise<Json[]> {
    return (await this.cloud.request('GET', `/v1/gitops/git-repo/${this.id}/syncs`)).body.syncs;
  }

  async ask(what: string, body?: object): Promise<Json> {
    const answer = await this.cloud.request('POST', `/gitops/git-repo/${this.id}/${what}`, body);
    expect({ status: answer.status, message: answer.body.message }).toEqual({ status: 200, message: expect.any(String) });
    return answer.body;
  }

  /** The sync of a commit, when it has ended. */
  async ended(commit: string): Promise<Json> {
    return await eventually(async () => {
      const sync = (await this.syncs()).find((candidate) => candidate.commit === commit);
      expect({ fetch_error: sync === undefined ? (await this.show()).fetch_error : null, state: sync?.state }).toEqual({
        fetch_error: null,
        state: expect.stringMatching(/succeeded|failed|planned/),
      });
      return sync;
    }, 40_000);
  }

  async push(files: Readonly<Record<string, string | Buffer | null>>, message?: string): Promise<Json> {
    const commit = await this.clone.push(files, message);
    await this.ask('sync');
    return await this.ended(commit);
  }
}

let added = 0;
