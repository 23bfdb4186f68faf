import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { ConsoleLogger, Logger } from '@nestjs/common';
import { pino } from 'pino';
import { loadConfig } from '../config/load.js';
import { EmbeddedTaskBus } from '../messaging/embedded/embedded-task-bus.js';
import { exampleTask } from '../messaging/task-bus.contract.js';
import type { Heartbeat, RegisterRequest } from '../protocol/node.js';
import type { ReportBatch, VmReport } from '../protocol/report.js';
import { startComputeWorker } from './compute.module.js';

const JOIN_TOKEN = 'a-join-token-of-good-length';
const NODE_KEY = 'the-key-of-the-node';

/** As much of a conductor as a worker sees: three endpoints that know one join token and one node key. */
class FakeConductor {
  readonly registrations: { bearer: string; request: RegisterRequest }[] = [];
  readonly beats: Heartbeat[] = [];
  readonly reports: VmReport[] = [];
  /** Status for a path instead of its answer, as often as it stands here. */
  readonly refusals: { path: string; status: number }[] = [];
  knownKeys = [NODE_KEY];
  private session = 0;
  private wake: () => void = () => undefined;
  private readonly server: Server = createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    request.on('end', () => {
      const bearer = (request.headers.authorization ?? '').replace('Bearer ', '');
      const [status, body] = this.answer(request.url!, bearer, JSON.parse(text));
      response.writeHead(status).end(JSON.stringify(body));
      this.wake();
    });
  });

  async listen(): Promise<string> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => (this.wake = resolve));
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private answer(path: string, bearer: string, body: unknown): [number, object] {
    const refusal = this.refusals.findIndex((candidate) => candidate.path === path);
    if (refusal >= 0) return [this.refusals.splice(refusal, 1)[0]!.status, { status: false, message: 'told to refuse' }];
    if (path === '/compute/register') this.registrations.push({ bearer, request: body as RegisterRequest });
    const joins = path === '/compute/register' && bearer === JOIN_TOKEN;
    if (!joins && !this.knownKeys.includes(bearer)) return [401, { status: false, message: 'unknown key' }];
    switch (path) {
      case '/compute/register': {
        const { name: queue } = body as RegisterRequest;
        const session = ++this.session;
        return [200, { session, queue, heartbeatSeconds: 0.02, leaseSeconds: 1, ...(joins && { nodeKey: NODE_KEY }) }];
      }
      case '/compute/heartbeat':
        this.beats.push(body as Heartbeat);
        return [200, { status: true }];
      case '/compute/reports': {
        const { reports } = body as ReportBatch;
        this.reports.push(...reports);
        return [200, { verdicts: reports.map(() => 'accepted') }];
      }
      default:
        return [400, { status: false, message: `no ${path}` }];
    }
  }
}

describe('a compute worker', () => {
  const logger = pino({ level: 'silent' });
  let folder: string;
  let conductor: FakeConductor;
  let conductorUrl: string;
  let bus: EmbeddedTaskBus;
  let running: { stop(): Promise<void> }[];
  let evictions: Error[];

  beforeAll(() => Logger.overrideLogger(false));
  afterAll(() => Logger.overrideLogger(new ConsoleLogger()));

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'baton-worker-'));
    conductor = new FakeConductor();
    conductorUrl = await conductor.listen();
    bus = new EmbeddedTaskBus(logger);
    running = [];
    evictions = [];
  });

  afterEach(async () => {
    await Promise.all(running.map((worker) => worker.stop()));
    await bus.close();
    await conductor.close();
    await rm(folder, { recursive: true });
  });

  async function start(nodeName = 'node-1', joinToken: string | null = JOIN_TOKEN) {
    const config = loadConfig(['compute'], {}, {
      BATON_HYPERVISOR: 'simulated',
      BATON_SIMULATED_BOOT_MS: '0',
      BATON_STATE_FOLDER: join(folder, nodeName),
    });
    const worker = await startComputeWorker(config, {
      consumer: bus.consumer(),
      conductorUrl,
      nodeName,
      logger,
      ...(joinToken !== null && { joinToken }),
      onEvicted: (reason) => evictions.push(reason),
    });
    running.push(worker);
    return worker;
  }

  it('joins with the join token, keeps its key to itself, and comes back with it', async () => {
    const worker = await start();
    expect(conductor.registrations).toMatchObject([
      { bearer: JOIN_TOKEN, request: { name: 'node-1', hypervisor: 'simulated', acceleration: 'none', capacity: { cpus: 32 } } },
    ]);
    const keyFile = join(folder, 'node-1', 'node.key');
    expect(await readFile(keyFile, 'utf8')).toBe(`${NODE_KEY}\n`);
    expect((await stat(keyFile)).mode & 0o777).toBe(0o600);
    await worker.stop();

    await start('node-1', null);
    expect(conductor.registrations.at(-1)!.bearer).toBe(NODE_KEY);
  });

  it('waits for a conductor that cannot be reached yet', async () => {
    conductor.refusals.push(...Array.from({ length: 3 }, () => ({ path: '/compute/register', status: 503 })));
    await start();
    expect(conductor.registrations).toHaveLength(1);
  });

  it('joins anew when its key is refused and it has a join token', async () => {
    await (await start()).stop();
    await writeFile(join(folder, 'node-1', 'node.key'), 'a key of long ago\n');
    await start();
    expect(await readFile(join(folder, 'node-1', 'node.key'), 'utf8')).toBe(`${NODE_KEY}\n`);
  });

  it.each([
    ['has neither key nor join token', null, "Node 'node-1' has no key yet and no join token"],
    ['has a wrong join token', 'some-other-token-of-length', "refuses the join token of node 'node-1'"],
  ])('says what to do when it %s', async (_case, joinToken, words) => {
    await expect(start('node-1', joinToken)).rejects.toThrow(words);
    await expect(start('node-1', joinToken)).rejects.toThrow('baton admin join-token');
  });

  it('says what to do when its node was removed', async () => {
    await (await start()).stop();
    conductor.knownKeys = [];
    await expect(start('node-1', null)).rejects.toThrow('the node was removed');
  });

  it('makes the VMs that it is sent, and shows them in its heartbeat', async () => {
    await start();
    const tasks = [exampleTask(), { ...exampleTask(), incarnationId: 10 as never }];
    for (const task of tasks) expect(await bus.publish('node-1', task)).toBe('confirmed');
    await conductor.until(() => conductor.reports.filter(({ observed }) => observed === 'running').length === 2);
    await conductor.until(() => conductor.beats.some(({ inventory }) => inventory?.filter((item) => item.state === 'running').length === 2));
    const sequences = conductor.reports.map(({ sequence }) => sequence);
    expect(sequences).toEqual([...sequences].sort((a, b) => a - b));
    expect(Math.floor(sequences[0]! / 2 ** 32)).toBe(1);
  });

  it('shares a process with other workers', async () => {
    await Promise.all(['node-1', 'node-2', 'node-3'].map((name) => start(name)));
    for (const name of ['node-1', 'node-2', 'node-3']) await bus.publish(name, exampleTask());
    await conductor.until(() => conductor.reports.filter(({ observed }) => observed === 'running').length === 3);
  });

  it('finishes what it has in hand before it stops', async () => {
    const worker = await start();
    conductor.refusals.push(...Array.from({ length: 2 }, () => ({ path: '/compute/reports', status: 503 })));
    await bus.publish('node-1', exampleTask());
    await conductor.until(() => conductor.refusals.length < 2);
    await worker.stop();
    expect(conductor.reports.map(({ observed }) => observed)).toEqual(['building', 'running']);
  });

  it('takes no more tasks when another worker has registered under its name', async () => {
    await start();
    conductor.refusals.push({ path: '/compute/heartbeat', status: 409 });
    await conductor.until(() => conductor.refusals.length === 0);
    while (evictions.length === 0) await new Promise(setImmediate);
    expect(evictions[0]!.message).toContain("Another worker has registered as 'node-1'");

    const successor = bus.consumer();
    const taken = new Promise<void>((resolve) => {
      void successor.consume('node-1', 1, () => resolve());
    });
    await bus.publish('node-1', exampleTask());
    await taken;
    await successor.close();
    expect(conductor.reports).toEqual([]);
  });
});
