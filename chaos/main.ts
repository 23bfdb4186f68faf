/** `bin/chaos [--minutes M] [--seed S]`: load and faults together, then a verdict as JSON. */
import 'reflect-metadata';
import { parseArgs } from 'node:util';
import { FAULTS } from './faults.js';
import { runChaos } from './run.js';

const USAGE = `bin/chaos [--minutes 3] [--seed N] [--fault NAME …]

PostgreSQL, RabbitMQ, three conductors and four workers (simulated hypervisor) under a steady load of creates, deletes,
stops, starts and reboots with retries, while processes are killed and frozen, queues deleted and servers restarted.
Afterwards nothing may be lost, doubled or stuck. Prints one JSON object; exits 1 when a promise was broken.
--fault lets only these happen: ${Object.keys(FAULTS).join(', ')}.`;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '3' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    fault: { type: 'string', multiple: true, default: Object.keys(FAULTS) },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
const minutes = Number(values.minutes);
const seed = Number(values.seed);
if (values.help || !(minutes > 0) || !Number.isInteger(seed) || !values.fault.every((name) => name in FAULTS)) {
  console.error(USAGE);
  process.exit(values.help ? 0 : 2);
}

const verdict = await runChaos({ seconds: minutes * 60, seed, faultNames: values.fault });
console.log(JSON.stringify(verdict, null, 2));
process.exit(verdict.broken.length === 0 ? 0 : 1);
