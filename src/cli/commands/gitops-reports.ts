/** Plans and syncs in words, and waiting for a sync. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiClient } from '../api-client.js';

export interface Problem {
  readonly file: string;
  readonly line: number | null;
  readonly field: string;
  readonly message: string;
}

export interface Plan {
  readonly commit: string;
  readonly actions: readonly {
    readonly verb: string;
    readonly resource: string;
    readonly file: string;
    readonly line: number | null;
    readonly waits: string;
    readonly changes: readonly { readonly field: string; readonly from: unknown; readonly to: unknown }[];
  }[];
  readonly problems: readonly Problem[];
  readonly unchanged: number;
  readonly kept: readonly string[];
}

export interface Sync {
  readonly id: number;
  readonly trigger: string;
  readonly commit: string;
  readonly author: string;
  readonly message: string;
  readonly state: string;
  readonly actions: readonly { readonly verb: string; readonly resource: string; readonly fields: readonly string[]; readonly result: string; readonly message: string }[];
  readonly problems: readonly Problem[];
  readonly duration_seconds: number | null;
}

type Print = (text: string) => void;

export const problemLine = ({ file, line, field, message }: Problem): string =>
  `PROBLEM ${[file === '' ? '' : `${file}${line === null ? '' : `:${line}`}:`, field === '' ? '' : `${field}:`, message].filter((part) => part !== '').join(' ')}`;

export function reportPlan({ actions, problems, unchanged, kept }: Plan, print: Print): void {
  for (const { verb, resource, changes, waits } of actions) {
    const fields = changes.length === 0 ? '' : ` (${changes.map(({ field }) => field).join(', ')})`;
    print(`${verb} ${resource}${fields}${waits === '' ? '' : `: ${waits}`}`);
  }
  for (const resource of kept) print(`kept ${resource}, which is no longer declared`);
  for (const problem of problems) print(problemLine(problem));
  print(`${actions.length} to do, ${unchanged} as they shall be, ${problems.length} problems.`);
}

export function reportSync({ trigger, commit, author, message, state, actions, problems, duration_seconds }: Sync, print: Print): void {
  print(`${state}: commit ${commit.slice(0, 12)} by ${author}: ${message} (${trigger}${duration_seconds === null ? '' : `, ${duration_seconds.toFixed(1)} s`})`);
  for (const action of actions) print(`  ${action.result}: ${action.verb} ${action.resource}${action.message === '' ? '' : `: ${action.message}`}`);
  for (const problem of problems) print(`  ${problemLine(problem)}`);
}

const ASK_EVERY_MS = 500;

/** How long an error that was there before may still be the one of before. */
const SAME_ERROR_MS = 15_000;

export interface AwaitedSync {
  /** The one that was the last before; 0 for none. */
  readonly after: number;
  /** How its commit begins, where another one may come first. */
  readonly commit?: string;
  /** When the repository was fetched last, before; undefined where nothing is to be fetched. */
  readonly fetchedAt?: string | null;
}

/**
 * The first such sync, when it has ended.
 * @throws Error when none will come: the repository cannot be fetched, or was paused.
 */
export async function waitForSync(api: ApiClient, repositoryId: number, { after, commit = '', fetchedAt }: AwaitedSync): Promise<Sync> {
  const begin = performance.now();
  for (;;) {
    const { syncs } = await api.get<{ syncs: Sync[] }>(`/gitops/git-repo/${repositoryId}/syncs?pageSize=5`);
    const found = syncs.findLast((sync) => sync.id > after && sync.commit.startsWith(commit));
    const ended = found !== undefined && found.state !== 'running';
    // Asked for after the syncs: a pass that could not fetch goes by the commit it has, and ends all the same.
    const { git_repo } = await api.get<{ git_repo: { name: string; status: string; fetch_error: string | null; fetched_at: string | null } }>(`/gitops/git-repo/${repositoryId}`);
    const { name, status, fetch_error, fetched_at } = git_repo;
    const failed = ended ? fetchedAt !== undefined : fetched_at !== fetchedAt || performance.now() - begin > SAME_ERROR_MS;
    if (fetch_error !== null && failed) throw new Error(`${name} could not be fetched: ${fetch_error}`);
    if (ended) return found;
    if (status === 'PAUSED') throw new Error(`${name} was paused.`);
    await sleep(ASK_EVERY_MS);
  }
}
