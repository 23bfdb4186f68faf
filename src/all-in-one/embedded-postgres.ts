/**
 * A real PostgreSQL of our own, for who has none: made on the first start, continued on later ones. It listens on a
 * free port of 127.0.0.1 only and asks for a password that was made for it; it syncs every commit to disk, so that
 * what the API acknowledged survives a power cut as it would in production.
 *
 * The data folder appears complete or not at all (made beside, then renamed), and the server runs in a session of
 * its own, so that Ctrl-C in the terminal reaches us first and it is stopped last. Whoever calls this holds the lock
 * on the folder: a PostgreSQL found running on it was left behind by a killed run.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { chown, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import { freePort } from './free-port.js';
import { stopOrphanedPostgres } from './orphaned-postgres.js';
import { installPostgresPrograms, type PostgresPrograms } from './postgres-programs.js';
import { unprivilegedUser, type UserAndGroup } from './unprivileged-user.js';

const run = promisify(execFile);

const USER = 'baton';
const DATABASE = 'baton';
const START_PATIENCE_MS = 60_000;
const STOP_PATIENCE_MS = 8_000;
const PORT_ATTEMPTS = 5;

const SETTINGS: Readonly<Record<string, string>> = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  fsync: 'on',
  synchronous_commit: 'on',
  shared_buffers: '64MB',
  max_connections: '100',
};

export class EmbeddedPostgres {
  private constructor(
    readonly url: string,
    private readonly server: ChildProcess,
  ) {}

  /** @param folder below which programs, data, password and log are kept. */
  static async start(folder: string): Promise<EmbeddedPostgres> {
    const programs = await installPostgresPrograms(folder);
    const home = join(folder, 'postgres');
    const cluster = { programs, home, data: join(home, 'data'), user: await unprivilegedUser() };
    await mkdir(home, { recursive: true, mode: 0o755 });
    const started = await owner(cluster.data);
    if (started === undefined) await initialize(cluster);
    else await refuseOtherVersion(cluster);
    await stopOrphanedPostgres(cluster.data);
    // A later start runs as the data's owner, although a better user may exist by then.
    return await EmbeddedPostgres.serve({ ...cluster, user: cluster.user && (started ?? cluster.user) });
  }

  /** Whether the address, of whatever port, is of the cluster in this folder. */
  static async isOf(folder: string, url: string): Promise<boolean> {
    const password = await readFile(join(folder, 'postgres', 'password'), 'utf8').catch(() => undefined);
    return password !== undefined && url.startsWith(`postgres://${USER}:${password}@127.0.0.1:`);
  }

  private static async serve(cluster: Cluster): Promise<EmbeddedPostgres> {
    const password = await readFile(passwordFile(cluster), 'utf8');
    for (let attempt = 1; ; attempt += 1) {
      const port = await freePort();
      const url = (database: string): string => `postgres://${USER}:${password}@127.0.0.1:${port}/${database}`;
      const server = spawnServer(cluster, port);
      try {
        await untilItAnswers(server, url('postgres'));
        await createDatabase(url('postgres'));
        return new EmbeddedPostgres(url(DATABASE), server);
      } catch (cause) {
        server.kill('SIGKILL');
        if (attempt === PORT_ATTEMPTS || !(await lastLines(cluster)).includes('could not create any TCP/IP sockets'))
          throw new Error(`PostgreSQL did not start. The end of ${logFile(cluster)}:\n${await lastLines(cluster)}`, { cause });
      }
    }
  }

  /** Every connection is cut, then a checkpoint is written. */
  async stop(): Promise<void> {
    if (hasEnded(this.server)) return;
    const ended = once(this.server, 'exit');
    this.server.kill('SIGINT');
    const abort = new AbortController();
    await Promise.race([ended, delay(STOP_PATIENCE_MS, undefined, { signal: abort.signal })]);
    abort.abort();
    if (!hasEnded(this.server)) {
      // Immediate shutdown: the next start replays the log, nothing committed is lost.
      this.server.kill('SIGQUIT');
      await ended;
    }
  }

  /** Called when the server ends although nobody stopped it. */
  onUnexpectedEnd(listener: () => void): void {
    this.server.once('exit', listener);
  }
}

interface Cluster {
  readonly programs: PostgresPrograms;
  readonly home: string;
  readonly data: string;
  readonly user: UserAndGroup | undefined;
}

const passwordFile = ({ home }: Cluster): string => join(home, 'password');
const logFile = ({ home }: Cluster): string => join(home, 'log');
const hasEnded = (server: ChildProcess): boolean => server.exitCode !== null || server.signalCode !== null;

/** Our own environment may hold PG… variables that are meant for another server. */
const ENVIRONMENT = { PATH: process.env['PATH'], LC_ALL: 'C', TZ: 'UTC' };

async function owner(folder: string): Promise<UserAndGroup | undefined> {
  try {
    return await stat(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

async function initialize(cluster: Cluster): Promise<void> {
  const unfinished = `${cluster.data}.unfinished`;
  await rm(unfinished, { recursive: true, force: true });
  await mkdir(unfinished, { mode: 0o700 });
  await writeFile(passwordFile(cluster), randomBytes(24).toString('base64url'), { mode: 0o600 });
  if (cluster.user) {
    await chown(unfinished, cluster.user.uid, cluster.user.gid);
    await chown(passwordFile(cluster), cluster.user.uid, cluster.user.gid);
  }
  await run(
    cluster.programs.initdb,
    [
      `--pgdata=${unfinished}`,
      `--username=${USER}`,
      `--pwfile=${passwordFile(cluster)}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      '--locale=C',
      '--locale-provider=builtin',
      '--builtin-locale=C.UTF-8',
    ],
    { ...cluster.user, cwd: '/', env: ENVIRONMENT },
  );
  await rename(unfinished, cluster.data);
}

async function refuseOtherVersion({ data, programs }: Cluster): Promise<void> {
  const has = (await readFile(join(data, 'PG_VERSION'), 'utf8')).trim();
  const needs = programs.version.split('.')[0]!;
  if (has !== needs)
    throw new Error(
      `${data} was made by PostgreSQL ${has}, and this Baton brings PostgreSQL ${needs}, which cannot read it. ` +
        'Go back to the Baton it was made with and move the data with pg_dump, or start anew with bin/up --fresh.',
    );
}

function spawnServer(cluster: Cluster, port: number): ChildProcess {
  const log = openSync(logFile(cluster), 'w', 0o600);
  try {
    const settings = Object.entries({ ...SETTINGS, port: String(port) }).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    return spawn(cluster.programs.postgres, ['-D', cluster.data, ...settings], {
      ...cluster.user,
      cwd: '/',
      env: ENVIRONMENT,
      detached: true,
      stdio: ['ignore', log, log],
    });
  } finally {
    closeSync(log);
  }
}

async function untilItAnswers(server: ChildProcess, url: string): Promise<void> {
  let failure: Error | undefined;
  server.once('error', (error) => (failure = error));
  const deadline = Date.now() + START_PATIENCE_MS;
  for (;;) {
    if (failure) throw failure;
    if (hasEnded(server)) throw new Error(`postgres ended with exit status ${server.exitCode ?? server.signalCode}`);
    try {
      return await withClient(url, async (client) => void (await client.query('SELECT 1')));
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await delay(50);
    }
  }
}

async function createDatabase(url: string): Promise<void> {
  await withClient(url, async (client) => {
    const found = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [DATABASE]);
    if (found.rowCount === 0) await client.query(`CREATE DATABASE ${DATABASE}`);
  });
}

async function withClient(url: string, work: (client: pg.Client) => Promise<void>): Promise<void> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
  client.on('error', () => undefined);
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}

async function lastLines(cluster: Cluster): Promise<string> {
  return (await readFile(logFile(cluster), 'utf8')).trimEnd().split('\n').slice(-12).join('\n');
}
