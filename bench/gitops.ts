/**
 * What a pass over a large repository costs beside its queries: the manifest compiled (once for each commit), and planned
 * (with each pass), as one document for each VM and as groups. Memory is what the process has more afterwards.
 */
import { performance } from 'node:perf_hooks';
import { compileManifest } from '../src/conductor/gitops/manifest/compile.js';
import { plan, type ActualResource } from '../src/conductor/gitops/plan/plan.js';
import type { DeclaredResource } from '../src/conductor/gitops/manifest/resource.js';

const ROUNDS = 5;
const PER_FILE = 100;
const PRUNING = { prune: true, limit: 10, spent: 0, complete: true };

const document = (name: string, count: string): string => `apiVersion: baton/v1
kind: VirtualMachine
metadata:
  name: ${name}
  environment: demo
  labels: [blue, 'member-of-{{ name }}']
spec:
  flavor: tiny-1
  image: tiny
  keypairs: [demo]
  firewalls: [web]
${count}  user_data: |
    #cloud-config
    hostname: {{ name }}
`;

/** Of a cloud that is as it shall be. */
const present = (resource: DeclaredResource, id: number): ActualResource =>
  ({
    ...resource,
    id,
    owned: true,
    readiness: 'ready',
    fault: null,
    current: { name: resource.name, environment: resource.environment },
  }) as ActualResource;

const megabytes = (bytes: number): number => Math.round(bytes / 1024 / 102.4) / 10;

async function best(work: () => unknown): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const start = performance.now();
    await work();
    times.push(performance.now() - start);
  }
  return Math.round(Math.min(...times) * 10) / 10;
}

/** The longest that other work had to wait while it ran, in milliseconds. */
async function longestHold(work: () => Promise<unknown>): Promise<number> {
  let longest = 0;
  let last = performance.now();
  const timer = setInterval(() => {
    longest = Math.max(longest, performance.now() - last - 1);
    last = performance.now();
  }, 1);
  await work();
  clearInterval(timer);
  return Math.round(longest * 10) / 10;
}

export async function benchGitops({ count }: { count: number }) {
  const files = new Map<string, Buffer>();
  for (let first = 0; first < count; first += PER_FILE) {
    const names = Array.from({ length: Math.min(PER_FILE, count - first) }, (_, index) => `vm-${first + index}`);
    files.set(`${first}.yaml`, Buffer.from(names.map((name) => document(name, '')).join('---\n')));
  }
  const groups = new Map([['all.yaml', Buffer.from(Array.from({ length: Math.ceil(count / 1000) }, (_, index) => document(`group-${index}`, `  count: ${Math.min(1000, count - index * 1000)}\n`)).join('---\n'))]]);
  const before = process.memoryUsage();
  const { resources, problems } = await compileManifest(files);
  if (problems.length > 0 || resources.length !== count) throw new Error('The manifest of the bench is wrong.');
  const after = process.memoryUsage();
  const actual = resources.map(present);
  const drifted = actual.map((resource, index) => (index % 2 === 0 ? resource : ({ ...resource, spec: { ...resource.spec, labels: [] } } as ActualResource)));
  return {
    vms: count,
    compileMs: { documents: await best(() => compileManifest(files)), groups: await best(() => compileManifest(groups)) },
    longestHoldMs: await longestHold(() => compileManifest(files)),
    planMs: {
      nothing: await best(() => plan(resources, actual, PRUNING)),
      createAll: await best(() => plan(resources, [], PRUNING)),
      updateHalf: await best(() => plan(resources, drifted, PRUNING)),
    },
    memoryMiB: { compiled: megabytes(after.heapUsed - before.heapUsed), resident: megabytes(after.rss - before.rss) },
  };
}
