/**
 * A run that was killed (kill -9) leaves its PostgreSQL behind, still serving the data folder. It is stopped before
 * the next start, but only when the process in `postmaster.pid` really is a PostgreSQL on that very folder: process
 * ids are used again. Only the holder of the folder's lock may call this.
 */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);
const PATIENCE_MS = 30_000;

export async function stopOrphanedPostgres(dataFolder: string): Promise<void> {
  const pid = await postmasterPid(dataFolder);
  if (pid === undefined || !(await isPostgresOn(dataFolder, pid))) return;
  // PostgreSQL's "fast" shutdown: connections are cut, everything committed is kept.
  process.kill(pid, 'SIGINT');
  const deadline = Date.now() + PATIENCE_MS;
  while (await isPostgresOn(dataFolder, pid)) {
    if (Date.now() > deadline)
      throw new Error(`The PostgreSQL of an earlier run (process ${pid}) does not stop. Stop it with: kill -QUIT ${pid}`);
    await delay(100);
  }
}

async function postmasterPid(dataFolder: string): Promise<number | undefined> {
  const content = await readFile(`${dataFolder}/postmaster.pid`, 'utf8').catch(() => '');
  const pid = Number.parseInt(content.split('\n')[0] ?? '', 10);
  return pid > 1 ? pid : undefined;
}

async function isPostgresOn(dataFolder: string, pid: number): Promise<boolean> {
  const commandLine = await commandLineOf(pid);
  return commandLine.includes('postgres') && commandLine.includes(`-D ${dataFolder}`);
}

/** Empty when there is no such process, or it is a zombie. */
async function commandLineOf(pid: number): Promise<string> {
  if (process.platform === 'linux')
    return (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).replaceAll('\0', ' ');
  return await run('ps', ['-p', String(pid), '-o', 'command=']).then(
    ({ stdout }) => stdout,
    () => '',
  );
}
