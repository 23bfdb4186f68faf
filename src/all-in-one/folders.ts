/**
 * Where the all-in-one cloud keeps its things. `home` is `var/` of the clone (or BATON_VAR): the environment file,
 * the SSH key, the log and the lock. `data` holds what other system users must reach, PostgreSQL's and QEMU's: the
 * same folder where they can get at it, else a folder of this clone's own under /var/lib/baton. A clone under /root
 * is the usual case, because nobody but root may enter that.
 */
import { createHash } from 'node:crypto';
import { mkdir, realpath, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

export interface Folders {
  readonly home: string;
  readonly data: string;
}

const SYSTEM_FOLDER = '/var/lib/baton';

export async function prepareFolders(home: string): Promise<Folders> {
  const folders = await locateFolders(home);
  await mkdir(folders.data, { recursive: true, mode: 0o755 });
  return folders;
}

async function locateFolders(home: string): Promise<Folders> {
  await mkdir(resolve(home), { recursive: true, mode: 0o755 });
  const real = await realpath(home);
  if (process.getuid?.() !== 0 || (await everyoneMayEnter(real))) return { home: real, data: real };
  const name = createHash('sha256').update(real).digest('hex').slice(0, 12);
  return { home: real, data: join(SYSTEM_FOLDER, name) };
}

async function everyoneMayEnter(folder: string): Promise<boolean> {
  const othersMayEnter = ((await stat(folder)).mode & 0o001) !== 0;
  return othersMayEnter && (folder === dirname(folder) || (await everyoneMayEnter(dirname(folder))));
}

/**
 * What a run leaves behind, by name, so that `--fresh` in a wrongly chosen folder removes nothing of anybody else.
 * The guest image and PostgreSQL's programs stay: they are build products, no data.
 */
const IN_HOME = ['baton.env', 'baton.log', 'baton.log.1', 'ssh'];
const IN_DATA = ['postgres', 'nodes', 'images'];

export async function removeContents({ home, data }: Folders): Promise<void> {
  const ours = [...IN_HOME.map((name) => join(home, name)), ...IN_DATA.map((name) => join(data, name))];
  await Promise.all(ours.map((path) => rm(path, { recursive: true, force: true })));
}
