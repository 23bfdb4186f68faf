/** The whole cloud as a newcomer runs it: one process from the built program, its own PostgreSQL, simulated guests. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, readFile, rm, stat } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { eventually } from './support/eventually.js';
import { scratchFolder } from './support/scratch.js';
import { stopOrphanedPostgres } from '../src/all-in-one/orphaned-postgres.js';

const PATIENCE_MS = 90_000;

describe('bin/up', () => {
  let folder: string;
  const clouds: ChildProcess[] = [];
  let shell: Readonly<Record<string, string>>;

  beforeEach(async () => {
    shell = {};
    folder = await scratchFolder('up');
    // As root, PostgreSQL runs as another user, who has to enter.
    await chmod(folder, 0o755);
  });
  afterEach(async () => {
    for (const cloud of clouds.splice(0)) await end(cloud, 'SIGKILL');
    await stopOrphanedPostgres(join(folder, 'postgres/data'));
    await rm(folder, { recursive: true, force: true });
  });

  /** `set -a; . var/baton.env`, as it is written for people. */
  const readIntoShell = async (): Promise<void> => {
    const lines = (await readFile(join(folder, 'baton.env'), 'utf8')).trim().split('\n');
    shell = Object.fromEntries(lines.map((line) => line.split(/=(.*)/s, 2)));
  };
  /** @returns when it is ready, or has ended. */
  const up = async (...flags: string[]) => {
    const args = ['--hypervisor', 'simulated', '--port', '0', ...flags];
    const environment = { ...process.env, BATON_VAR: folder, NODE_OPTIONS: '', DATABASE_URL: '', AMQP_URL: '', ...shell };
    const cloud = spawn('bin/up', args, { env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
    clouds.push(cloud);
    const output = { text: '' };
    for (const stream of [cloud.stdout, cloud.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => (output.text += text));
    await eventually(() => {
      if (cloud.exitCode === null && !/^READY /m.test(output.text)) throw new Error(`not ready yet:\n${output.text}`);
    }, PATIENCE_MS);
    return { cloud, output };
  };
  const end = async (cloud: ChildProcess, signal: NodeJS.Signals): Promise<number | null> => {
    if (cloud.exitCode === null && cloud.signalCode === null) {
      const exited = once(cloud, 'exit');
      cloud.kill(signal);
      await exited;
    }
    return cloud.exitCode;
  };
  const call = async (path: string, body?: object): Promise<{ instances: { name: string; status: string }[] }> => {
    const environment = await readFile(join(folder, 'baton.env'), 'utf8');
    const [url, key] = ['BATON_URL', 'BATON_API_KEY'].map((name) => new RegExp(`^${name}=(.*)$`, 'm').exec(environment)![1]!);
    const response = await fetch(`${url}/v1/core${path}`, {
      ...(body && { method: 'POST', body: JSON.stringify(body) }),
      headers: { api_key: key!, 'content-type': 'application/json' },
    });
    expect(response.status).toBe(200);
    return (await response.json()) as { instances: { name: string; status: string }[] };
  };
  const createVm = async (name: string): Promise<void> => {
    await call('/virtual-machines', {
      name,
      environment_name: 'demo',
      image_name: 'Baton Tiny Linux',
      flavor_name: 'tiny-1',
      key_name: 'demo',
      count: 1,
    });
  };
  const untilActive = async (...names: string[]): Promise<void> =>
    await eventually(async () => {
      const { instances } = await call('/virtual-machines');
      expect(instances).toHaveLength(names.length);
      expect(instances).toEqual(expect.arrayContaining(names.map((name) => expect.objectContaining({ name, status: 'ACTIVE' }))));
    }, PATIENCE_MS);

  it('makes a cloud whose machines are still there after Ctrl-C and after kill -9', async () => {
    const first = await up('--nodes', '2');
    await createVm('kept');
    await untilActive('kept');
    const key = (await readFile(join(folder, 'baton.env'), 'utf8')).match(/BATON_API_KEY=.*/)![0];
    // Ctrl-C in the middle of its making.
    await createVm('begun');
    expect(await end(first.cloud, 'SIGINT')).toBe(0);

    await readIntoShell();
    const second = await up();
    await untilActive('kept', 'begun');
    await end(second.cloud, 'SIGKILL');

    await up();
    await untilActive('kept', 'begun');
    expect(await readFile(join(folder, 'baton.env'), 'utf8')).toContain(key);
    expect(await readFile(join(folder, 'baton.env'), 'utf8')).toContain('BATON_NODES=2');
  }, 300_000);

  it('keeps keys from other users', async () => {
    await up();
    for (const secret of ['baton.env', 'ssh/id_ed25519', 'postgres/password', 'nodes/node-1/node.key'])
      expect([secret, (await stat(join(folder, secret))).mode & 0o077]).toEqual([secret, 0]);
  }, 120_000);

  it('starts anew when asked to', async () => {
    const { cloud } = await up();
    await createVm('gone');
    await end(cloud, 'SIGTERM');
    await up('--fresh');
    expect((await call('/virtual-machines')).instances).toEqual([]);
  }, 180_000);

  it('says that another one is running, and leaves that alone', async () => {
    await up();
    const second = await up();
    expect(second.cloud.exitCode).toBe(1);
    expect(second.output.text).toMatch(/Another bin\/up \(process \d+\) is running on/);
    expect((await call('/virtual-machines')).instances).toEqual([]);
  }, 120_000);

  it('says which option helps when the port is taken', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = other.address() as AddressInfo;
      const { cloud, output } = await up('--port', String(port));
      expect(cloud.exitCode).toBe(1);
      expect(output.text).toContain(`Port ${port} of 127.0.0.1 is taken or not allowed. Choose another with --port`);
    } finally {
      other.close();
    }
  }, 120_000);

  it('refuses what it does not understand before it starts anything', async () => {
    const { cloud, output } = await up('--nodes', 'many');
    expect(cloud.exitCode).toBe(2);
    expect(output.text).toContain('--nodes must be a whole number from 1 to 16.');
    await expect(stat(join(folder, 'postgres'))).rejects.toThrow('ENOENT');
  }, 60_000);
});
