/** `baton apply`: sends the files of a folder, and waits until the cloud is what they say. */
import { lstat, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ApiClient } from '../api-client.js';
import { integerFlag, UsageError } from '../command-line.js';
import type { Run } from './command.js';
import { listOf } from './gitops.js';
import { reportPlan, reportSync, waitForSync, type Plan, type Sync } from './gitops-reports.js';

/** What the API takes in one request, with room for its quotes. */
const MOST_BYTES = 900 * 1024;

const print = (text: string): void => void process.stdout.write(`${text}\n`);

/** Texts by their paths from the folder; hidden files, and what is no regular file, are left out. */
async function filesOf(folder: string): Promise<Record<string, string>> {
  const files: Record<string, string> = {};
  let bytes = 0;
  const read = async (path: string): Promise<void> => {
    const names = await readdir(join(folder, path)).catch((error: NodeJS.ErrnoException) => {
      throw error.code === 'ENOENT' || error.code === 'ENOTDIR' ? new UsageError(`There is no folder ${join(folder, path)}.`) : error;
    });
    for (const name of names.sort()) {
      const inside = path === '' ? name : `${path}/${name}`;
      if (name.startsWith('.')) continue;
      const status = await lstat(join(folder, inside));
      if (status.isDirectory()) await read(inside);
      if (!status.isFile()) continue;
      bytes += status.size;
      if (bytes > MOST_BYTES) throw new UsageError(`${folder} has more than ${MOST_BYTES / 1024} KiB: name a smaller folder, or let Baton follow a Git repository.`);
      files[inside] = await readFile(join(folder, inside), 'utf8');
    }
  };
  await read('');
  return files;
}

export const run: Run = async ({ flags, environment }) => {
  const api = new ApiClient(environment);
  const { folder } = flags;
  if (typeof folder !== 'string') throw new UsageError('Say which folder with -f DIR.');
  const dryRun = flags['dry-run'] === true;
  const before = dryRun ? [] : (await api.get<{ git_repos: { id: number; last_sync: Sync | null }[] }>('/gitops/git-repo')).git_repos;
  const plan = await api.call<Plan & { git_repo_id: number | null }>('POST', `/gitops/apply${dryRun ? '?dry_run=true' : ''}`, {
    name: flags['name'],
    files: await filesOf(folder),
    prune: flags['prune'] === true,
    prune_limit: integerFlag(flags, 'prune-limit', 10, [0, 5_000]),
    environments: listOf(flags, 'environments'),
    role: flags['role'],
  });
  reportPlan(plan, print);
  if (dryRun || flags['no-wait'] === true) return plan.problems.length === 0 ? 0 : 1;
  const id = plan.git_repo_id!;
  const sync = await waitForSync(api, id, { after: before.find((repository) => repository.id === id)?.last_sync?.id ?? 0, commit: plan.commit });
  reportSync(sync, print);
  return sync.state === 'succeeded' ? 0 : 1;
};
