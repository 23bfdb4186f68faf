/**
 * Git as desired state against a whole cloud and a real Git server: from a push that the forge tells of to the VM that
 * is ACTIVE, and a large repository from its first pass to the sync that has succeeded, then a pass without news.
 * What is asked of the cloud is looked at every few milliseconds; times are the bench's.
 */
import { createHmac, randomBytes } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { GitServer } from '../test/fixtures/git-server.js';
import { TEST_VM } from '../test/support/baton-processes.js';
import { startCluster, type Cluster } from './cluster.js';
import { percentiles } from './percentiles.js';
import { usage, usageBetween } from './usage.js';

const PUSHES = 10;
const LOOK_MS = 10;
const WITHIN_MS = 600_000;

const document = (name: string): string =>
  JSON.stringify({
    apiVersion: 'baton/v1',
    kind: 'VirtualMachine',
    metadata: { name, environment: TEST_VM.environment_name },
    spec: { flavor: TEST_VM.flavor_name, image: TEST_VM.image_name, keypairs: [TEST_VM.key_name] },
  });

async function until(look: () => Promise<boolean>): Promise<void> {
  const begin = performance.now();
  while (!(await look())) {
    if (performance.now() - begin > WITHIN_MS) throw new Error('It did not come to an end.');
    await sleep(LOOK_MS);
  }
}

async function call<Answer>({ url, apiKey }: Cluster, method: string, path: string, body?: object): Promise<Answer> {
  const headers = { api_key: apiKey, ...(body && { 'content-type': 'application/json' }) };
  const answer = await fetch(url + path, { method, headers, body: body && JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  return (await answer.json()) as Answer;
}

interface Added {
  readonly git_repo: { readonly id: number };
  readonly webhook_secret: string;
}

const active = async ({ database }: Cluster, prefix: string): Promise<number> =>
  (await database.query<[{ count: number }]>(`SELECT count(*)::int AS count FROM virtual_machine WHERE status = 'ACTIVE' AND starts_with(name, $1)`, [prefix]))[0].count;

async function pushes(cluster: Cluster, server: GitServer): Promise<object> {
  const clone = await server.repository('pushed');
  await clone.push({ 'README.md': 'Desired state' });
  const { git_repo, webhook_secret } = await call<Added>(cluster, 'POST', '/gitops/git-repo', { url: server.httpUrl('pushed'), poll_seconds: 3600 });
  await until(async () => (await call<{ git_repo: { status: string } }>(cluster, 'GET', `/gitops/git-repo/${git_repo.id}`)).git_repo.status === 'SYNCED');
  const times: number[] = [];
  for (let round = 0; round < PUSHES; round++) {
    const name = `pushed-${round}-`;
    const commit = await clone.push({ [`${round}.yaml`]: document(`${name}vm`) });
    const body = JSON.stringify({ ref: 'refs/heads/main', after: commit });
    const signature = `sha256=${createHmac('sha256', webhook_secret).update(body).digest('hex')}`;
    const begin = performance.now();
    await fetch(`${cluster.url}/gitops/git-repo/${git_repo.id}/github-webhook`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-github-event': 'push', 'x-hub-signature-256': signature },
      body,
    });
    await until(async () => (await active(cluster, name)) === 1);
    times.push(performance.now() - begin);
    await until(async () => (await call<{ git_repo: { status: string } }>(cluster, 'GET', `/gitops/git-repo/${git_repo.id}`)).git_repo.status === 'SYNCED');
  }
  return percentiles(times);
}

async function large(cluster: Cluster, server: GitServer, count: number): Promise<object> {
  const clone = await server.repository('large');
  await clone.push({ 'all.yaml': Array.from({ length: count }, (_, index) => document(`large-${index}`)).join('\n---\n') });
  const before = usage();
  const begin = performance.now();
  const { id } = (await call<Added>(cluster, 'POST', '/gitops/git-repo', { url: server.httpUrl('large'), poll_seconds: 3600 })).git_repo;
  await until(async () => (await call<{ git_repo: { status: string } }>(cluster, 'GET', `/gitops/git-repo/${id}`)).git_repo.status === 'SYNCED');
  const applied = performance.now() - begin;
  const processes = usageBetween(before, usage());
  const made = await active(cluster, 'large-');
  if (made !== count) throw new Error(`${made} of ${count} VMs are ACTIVE.`);
  const idle = performance.now();
  await cluster.database.query('UPDATE git_repository SET next_pass_at = now() WHERE id = $1', [id]);
  await until(async () => (await cluster.database.query<unknown[]>(`SELECT 1 FROM git_repository WHERE id = $1 AND lease IS NULL AND next_pass_at > now() + interval '1 minute'`, [id])).length > 0);
  return { vms: count, applySeconds: Math.round(applied / 100) / 10, passWithoutNewsMs: Math.round(performance.now() - idle), processes };
}

export async function benchGitopsLive({ count }: { count: number }): Promise<object> {
  const server = await GitServer.start();
  try {
    const cluster = await startCluster({ BATON_SECRET_KEY: randomBytes(32).toString('base64') });
    try {
      return { pushToActiveMs: await pushes(cluster, server), large: await large(cluster, server, count) };
    } finally {
      await cluster.stop();
    }
  } finally {
    await server.stop();
  }
}
