/**
 * How long a VM takes from POST to ACTIVE, one at a time and in a burst, and what it costs. POST by the client's
 * clock; ACTIVE as the API shows it, looked at every few milliseconds.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { TEST_VM } from '../test/support/baton-processes.js';
import { startCluster, type Cluster } from './cluster.js';
import { percentiles } from './percentiles.js';
import { usage, usageBetween } from './usage.js';

export interface CreateBench {
  readonly count: number;
  readonly concurrency: number;
}

const IDLE_ROUNDS = 60;
const WARM_UP = 300;
const PAGE = 100;

interface Instance {
  readonly id: number;
  readonly status: string;
}

export async function benchCreate({ count, concurrency }: CreateBench): Promise<object> {
  const cluster = await startCluster();
  const client = new Client(cluster);
  try {
    await client.untilPlaceable();
    await burst(client, WARM_UP, concurrency);
    await deleteAll(client);
    const idle = await oneByOne(client);
    await deleteAll(client);
    const before = usage();
    const created = await burst(client, count, concurrency);
    const spent = usageBetween(before, usage());
    const deleted = await deleteAll(client);
    const { bench: generator, ...system } = spent;
    const cpu = Object.values(system).reduce((sum, part) => sum + part.cpuSeconds, 0);
    return {
      idle,
      burst: { count, concurrency, ...created, cpuMsPerVm: Math.round((cpu / count) * 100_000) / 100 },
      delete: deleted,
      processes: system,
      generator,
    };
  } finally {
    await client.close();
    await cluster.stop();
  }
}

class Client {
  private readonly agent = new Agent({ connections: 64, pipelining: 1 });

  constructor(private readonly cluster: Cluster) {}

  async call<Answer>(method: 'GET' | 'POST' | 'DELETE', path: string, body?: object): Promise<Answer> {
    const answer = await request(`${this.cluster.url}/v1/core/virtual-machines${path}`, {
      method,
      dispatcher: this.agent,
      headers: { api_key: this.cluster.apiKey, 'content-type': 'application/json' },
      body: body && JSON.stringify(body),
    });
    const text = await answer.body.text();
    if (answer.statusCode !== 200) throw new Error(`${method} ${path}: ${answer.statusCode} ${text}`);
    return JSON.parse(text) as Answer;
  }

  async create(labels: string[]): Promise<number> {
    const answer = await this.call<{ instances: [Instance] }>('POST', '', { ...TEST_VM, labels });
    return answer.instances[0].id;
  }

  page(page: number): Promise<{ count: number; instances: Instance[] }> {
    return this.call('GET', `?page=${page}&pageSize=${PAGE}`);
  }

  /** The worker needs a moment to join. */
  async untilPlaceable(): Promise<void> {
    for (let tries = 0; ; tries++) {
      try {
        await this.call('POST', '?dry_run=true', TEST_VM);
        return;
      } catch (error) {
        if (tries > 300) throw error;
        await sleep(100);
      }
    }
  }

  close(): Promise<void> {
    return this.agent.close();
  }
}

/** No load but one VM: what the control plane adds to its start. */
async function oneByOne(client: Client): Promise<object> {
  const post: number[] = [];
  const active: number[] = [];
  for (let round = 0; round < IDLE_ROUNDS; round++) {
    const start = performance.now();
    const id = await client.create(['idle']);
    post.push(performance.now() - start);
    while ((await client.call<{ instance: Instance }>('GET', `/${id}`)).instance.status !== 'ACTIVE') await sleep(1);
    active.push(performance.now() - start);
    await sleep(20);
  }
  return { postMs: percentiles(post), postToActiveMs: percentiles(active) };
}

async function burst(client: Client, count: number, concurrency: number) {
  const started = new Map<number, number>();
  const post: number[] = [];
  const begin = performance.now();
  let left = count;
  const load = Promise.all(
    Array.from({ length: concurrency }, async () => {
      while (left-- > 0) {
        const start = performance.now();
        const id = await client.create(['burst']);
        post.push(performance.now() - start);
        started.set(id, start);
      }
    }),
  );
  const seen = await watchUntilActive(client, count);
  await load;
  const active = [...seen].map(([id, at]) => at - started.get(id)!);
  const seconds = (Math.max(...seen.values()) - begin) / 1000;
  return {
    postMs: percentiles(post),
    postToActiveMs: percentiles(active),
    activePerSecond: Math.round(count / seconds),
    seconds: Math.round(seconds * 100) / 100,
  };
}

/** VMs are listed in the order of their ids: only the first page that has an unfinished one is looked at. */
async function watchUntilActive(client: Client, count: number): Promise<Map<number, number>> {
  const seen = new Map<number, number>();
  let page = 1;
  while (seen.size < count) {
    const { instances } = await client.page(page);
    const now = performance.now();
    for (const vm of instances) {
      if (vm.status === 'ERROR') throw new Error(`VM ${vm.id} is in ERROR`);
      if (vm.status === 'ACTIVE' && !seen.has(vm.id)) seen.set(vm.id, now);
    }
    if (instances.length === PAGE && instances.every((vm) => vm.status === 'ACTIVE')) page++;
    else await sleep(10);
  }
  return seen;
}

async function deleteAll(client: Client): Promise<object> {
  const { count } = await client.page(1);
  const begin = performance.now();
  for (const label of ['idle', 'burst']) await client.call('DELETE', `/demo/labels/${label}`);
  while ((await client.page(1)).count > 0) await sleep(20);
  const seconds = (performance.now() - begin) / 1000;
  return { count, gonePerSecond: Math.round(count / seconds) };
}
