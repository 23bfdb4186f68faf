/**
 * The pair of servers all suites of a run share. Jest's global setup starts them unless a developer named running
 * ones; suites read the addresses here. A suite that stops or restarts a server starts one of its own instead.
 */
import { createDatabase } from './postgres.js';

const DATABASE = 'BATON_TEST_DATABASE_URL';
const BROKER = 'BATON_TEST_AMQP_URL';

/** The address of a new, empty database on the shared PostgreSQL. */
export async function freshDatabase(): Promise<string> {
  return await createDatabase(address(DATABASE));
}

/** The address of the shared RabbitMQ: use node names of your own, queues are shared. */
export function sharedRabbitMq(): string {
  return address(BROKER);
}

function address(variable: string): string {
  const url = process.env[variable];
  if (!url) throw new Error(`${variable} is not set: run the suites by bin/test or npm run test:e2e.`);
  return url;
}
