/** `bin/bench WHAT [options]`: runs one bench and prints one JSON object. */
import 'reflect-metadata';
import { execFileSync } from 'node:child_process';
import { cpus, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { benchCreate } from './create.js';

const USAGE = `bin/bench create [--count 1000] [--concurrency 32]

Starts PostgreSQL (durable), RabbitMQ, a conductor and a worker with a simulated hypervisor (0 ms boot) as separate
processes, and prints one JSON object. What the figures mean: docs/performance.md.`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    count: { type: 'string', default: '1000' },
    concurrency: { type: 'string', default: '32' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

function positive(name: 'count' | 'concurrency'): number {
  const number = Number(values[name]);
  if (Number.isInteger(number) && number > 0) return number;
  console.error(`--${name} must be a whole number above 0.`);
  process.exit(2);
}

if (values.help || positionals[0] !== 'create') {
  console.error(USAGE);
  process.exit(values.help ? 0 : 2);
}

const figures = await benchCreate({ count: positive('count'), concurrency: positive('concurrency') });
const machine = {
  cpus: cpus().length,
  model: cpus()[0]?.model,
  memoryGib: Math.round(totalmem() / 2 ** 30),
  node: process.version,
  commit: execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim(),
};
console.log(JSON.stringify({ bench: 'create', machine, ...figures }, null, 2));
