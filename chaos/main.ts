/** `bin/chaos [--minutes M] [--seed S]`: load and faults together, then a verdict as JSON. */
import 'reflect-metadata';
import { parseArgs } from 'node:util';
import { runChaos } from './run.js';

const USAGE = `bin/chaos [--minutes 3] [--seed N]

PostgreSQL, RabbitMQ, three conductors and four workers (simulated hypervisor) under a steady load of creates, deletes,
stops, starts and reboots with retries, while processes are killed and frozen, queues deleted and servers restarted.
Afterwards nothing may be lost, doubled or stuck. Prints one JSON object; exits 1 when a promise was broken.`;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '3' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
const minutes = Number(values.minutes);
const seed = Number(values.seed);
if (values.help || !(minutes > 0) || !Number.isInteger(seed)) {
  console.error(USAGE);
  process.exit(values.help ? 0 : 2);
}

const verdict = await runChaos({ seconds: minutes * 60, seed });
console.log(JSON.stringify(verdict, null, 2));
process.exit(verdict.broken.length === 0 ? 0 : 1);
