/** The commands about Git repositories of desired state: each is one call of the API, or a few, and its answer in words. */
import { readFile } from 'node:fs/promises';
import { ApiClient } from '../api-client.js';
import { integerFlag, UsageError } from '../command-line.js';
import { formatTable } from '../table.js';
import type { Flags } from '../../config/load.js';
import type { Invocation, Run } from './command.js';
import { problemLine, reportPlan, reportSync, waitForSync, type Plan, type Sync } from './gitops-reports.js';

interface Repository {
  readonly id: number;
  readonly name: string;
  readonly url: string | null;
  readonly ref: string;
  readonly status: string;
  readonly commit: string | null;
  readonly pinned_commit: string | null;
  readonly fetch_error: string | null;
  readonly fetched_at: string | null;
  readonly commit_status_error: string | null;
  readonly drift: readonly string[];
  readonly resources: number;
  readonly last_sync: Sync | null;
}

const ROOT = '/gitops/git-repo';

const print = (text: string): void => void process.stdout.write(`${text}\n`);

/** @throws Error when there is none of this name. */
async function find({ flags, environment }: Invocation): Promise<{ api: ApiClient; repository: Repository; path: string }> {
  const api = new ApiClient(environment);
  const { git_repos: all } = await api.get<{ git_repos: Repository[] }>(ROOT);
  const repository = all.find(({ name }) => name === flags['name']);
  if (repository === undefined) throw new Error(`There is no repository '${String(flags['name'])}'. List them with: baton gitops list`);
  return { api, repository, path: `${ROOT}/${repository.id}` };
}

export const listOf = (flags: Flags, name: string): string[] | undefined => {
  const text = flags[name];
  return typeof text === 'string' ? text.split(',').map((item) => item.trim()).filter((item) => item !== '') : undefined;
};

async function credentialsOf(flags: Flags): Promise<object | undefined> {
  const { 'token-file': tokenFile, 'key-file': keyFile } = flags;
  if (tokenFile !== undefined && keyFile !== undefined) throw new UsageError('Give either --token-file or --key-file.');
  if (typeof tokenFile === 'string') return { token: (await readFile(tokenFile, 'utf8')).trim() };
  return typeof keyFile === 'string' ? { private_key: await readFile(keyFile, 'utf8') } : undefined;
}

/** Those that were given; what is undefined is not sent. */
async function settingsOf(flags: Flags): Promise<Readonly<Record<string, unknown>>> {
  const given = (name: string, range: readonly [number, number]): number | undefined => (flags[name] === undefined ? undefined : integerFlag(flags, name, 0, range));
  const either = (yes: string, no: string): boolean | undefined => (flags[yes] === true ? true : flags[no] === true ? false : undefined);
  const { ref, path, mode, role, forge, callback, drift } = flags;
  return {
    ref,
    path,
    mode,
    role,
    forge,
    environments: listOf(flags, 'environments'),
    credentials: await credentialsOf(flags),
    poll_seconds: given('poll', [5, 86_400]),
    prune: either('prune', 'no-prune'),
    prune_limit: given('prune-limit', [0, 5_000]),
    drift_policy: drift,
    commit_status: either('commit-status', 'no-commit-status'),
    callback_url: callback === '' ? null : callback,
  };
}

export const add: Run = async ({ flags, environment }) => {
  const api = new ApiClient(environment);
  const answer = await api.call<{ git_repo: Repository; webhook_secret?: string }>('POST', ROOT, {
    url: flags['url'],
    name: flags['name'],
    ...(await settingsOf(flags)),
  });
  const { id, name } = answer.git_repo;
  print(`${name} is followed. See it with: baton gitops show ${name}`);
  if (answer.webhook_secret !== undefined)
    print(`To have pushes seen at once, let the forge tell ${api.url}/gitops/git-repo/${id}/github-webhook\nsigned with the secret ${answer.webhook_secret} (it is not shown again).`);
};

export const set: Run = async (invocation) => {
  const settings = { url: invocation.flags['url'], ...(await settingsOf(invocation.flags)) };
  if (Object.values(settings).every((value) => value === undefined)) throw new UsageError('Say what shall change.');
  const { api, repository, path } = await find(invocation);
  await api.call('PUT', path, settings);
  print(`${repository.name} is changed. See what comes of it with: baton gitops show ${repository.name}`);
};

export const list: Run = async ({ environment }) => {
  const { git_repos: all } = await new ApiClient(environment).get<{ git_repos: Repository[] }>(ROOT);
  const rows = all.map(({ name, status, url, ref, pinned_commit, commit, resources }) => [name, status, url ?? 'applied', ref || '-', (pinned_commit ?? commit)?.slice(0, 12), resources]);
  print(formatTable(['NAME', 'STATUS', 'URL', 'REF', 'COMMIT', 'RESOURCES'], rows));
};

export const show: Run = async (invocation) => {
  const { api, repository, path } = await find(invocation);
  const { name, status, url, ref, fetch_error, drift, last_sync } = repository;
  print(`${name}: ${status}, ${url === null ? 'files that were applied' : `${ref} of ${url}`}`);
  if (repository.pinned_commit !== null) print(`Rolled back to ${repository.pinned_commit}; resume it to follow ${ref} again.`);
  if (fetch_error !== null) print(`It could not be fetched: ${fetch_error}`);
  if (repository.commit_status_error !== null) print(`The forge could not be told of it: ${repository.commit_status_error}`);
  for (const difference of drift) print(`Drift: ${difference}`);
  if (last_sync !== null) reportSync(last_sync, print);
  const { resources } = await api.get<{ resources: { kind: string; environment: string; name: string; id: number | null; path: string; line: number }[] }>(`${path}/resources`);
  if (resources.length === 0) return;
  print('');
  print(formatTable(['KIND', 'ENVIRONMENT', 'NAME', 'ID', 'DECLARED'], resources.map((owned) => [owned.kind, owned.environment || '-', owned.name, owned.id, `${owned.path}:${owned.line}`])));
};

const planOf = async (invocation: Invocation): Promise<Plan> => {
  const { api, path } = await find(invocation);
  const { ref } = invocation.flags;
  return await api.get<Plan>(`${path}/plan${typeof ref === 'string' ? `?ref=${encodeURIComponent(ref)}` : ''}`);
};

export const plan: Run = async (invocation) => {
  const planned = await planOf(invocation);
  reportPlan(planned, print);
  return planned.problems.length === 0 ? 0 : 1;
};

export const diff: Run = async (invocation) => {
  const { actions, problems } = await planOf(invocation);
  for (const { verb, resource, changes } of actions) {
    print(`${verb} ${resource}`);
    for (const { field, from, to } of changes) print(`  - ${field}: ${JSON.stringify(from)}\n  + ${field}: ${JSON.stringify(to)}`);
  }
  for (const problem of problems) print(problemLine(problem));
  return actions.length + problems.length === 0 ? 0 : 1;
};

/** Asks for something and waits for the sync that comes of it. */
async function ask(invocation: Invocation, what: string, body?: { readonly commit: string }): Promise<number> {
  const { api, path, repository } = await find(invocation);
  const { message } = await api.call<{ message: string }>('POST', `${path}/${what}`, body);
  print(message);
  if (invocation.flags['no-wait'] === true) return 0;
  const sync = await waitForSync(api, repository.id, { after: repository.last_sync?.id ?? 0, commit: body?.commit, fetchedAt: repository.fetched_at });
  reportSync(sync, print);
  return sync.state === 'succeeded' || sync.state === 'planned' ? 0 : 1;
}

export const sync: Run = (invocation) => ask(invocation, 'sync');

export const rollback: Run = (invocation) => {
  const { commit } = invocation.flags;
  if (typeof commit !== 'string') throw new UsageError('Say to which --commit.');
  return ask(invocation, 'rollback', { commit });
};

const order = (what: 'pause' | 'resume'): Run => async (invocation) => {
  const { api, path } = await find(invocation);
  print((await api.call<{ message: string }>('POST', `${path}/${what}`)).message);
};

export const pause = order('pause');
export const resume = order('resume');

export const remove: Run = async (invocation) => {
  const { api, path } = await find(invocation);
  print((await api.call<{ message: string }>('DELETE', path)).message);
};
