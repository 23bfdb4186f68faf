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
  for (const { verb, resource, changes } of actions) print([verb, resource, changes.length === 0 ? '' : `(${changes.map(({ field }) => field).join(', ')})`].join(' ').trimEnd());
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

/** The first sync after the given one, when it has ended. */
export async function waitForSync(api: ApiClient, repositoryId: number, after: number): Promise<Sync> {
  for (;;) {
    const { syncs } = await api.get<{ syncs: Sync[] }>(`/gitops/git-repo/${repositoryId}/syncs?pageSize=5`);
    const found = syncs.findLast(({ id }) => id > after);
    if (found !== undefined && found.state !== 'running') return found;
    await sleep(ASK_EVERY_MS);
  }
}
