/** `bin/bench WHAT [options]`: runs one bench and prints one JSON object. */
import 'reflect-metadata';
import { execFileSync } from 'node:child_process';
import { cpus, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { benchCreate } from './create.js';
import { benchGitops } from './gitops.js';
import { benchGitopsLive } from './gitops-live.js';

const USAGE = `bin/bench create [--count 1000] [--concurrency 32]
bin/bench gitops [--count 2000]

create: starts PostgreSQL (durable), RabbitMQ, a conductor and a worker with a simulated hypervisor (0 ms boot) as separate
processes. gitops: compiles and plans a manifest of so many VMs, in one process; then makes them of a Git repository, and
measures pushes, in the cloud of create. Each prints one JSON object. What the figures mean: docs/performance.md.`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    count: { type: 'string' },
    concurrency: { type: 'string' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

function positive(name: 'count' | 'concurrency', fallback: number): number {
  const number = Number(values[name] ?? fallback);
  if (Number.isInteger(number) && number > 0) return number;
  console.error(`--${name} must be a whole number above 0.`);
  process.exit(2);
}

const BENCHES = {
  create: () => benchCreate({ count: positive('count', 1000), concurrency: positive('concurrency', 32) }),
  gitops: async () => {
    const count = positive('count', 2000);
    return { ...(await benchGitops({ count })), live: await benchGitopsLive({ count }) };
  },
};

const bench = positionals[0] as keyof typeof BENCHES;
if (values.help || !Object.hasOwn(BENCHES, bench ?? '')) {
  console.error(USAGE);
  process.exit(values.help ? 0 : 2);
}

const figures = await BENCHES[bench]();
const machine = {
  cpus: cpus().length,
  model: cpus()[0]?.model,
  memoryGib: Math.round(totalmem() / 2 ** 30),
  node: process.version,
  commit: execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim(),
};
console.log(JSON.stringify({ bench, machine, ...figures }, null, 2));
