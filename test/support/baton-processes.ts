/** Baton as an operator runs it: the built program, one process a role, against real servers. */
import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { freePorts } from './scratch.js';
import { ServerProcess } from './server-process.js';

const MAIN = join(process.cwd(), 'dist', 'main.js');
const START_PATIENCE_MS = 60_000;

/** For fleets that a test starts together. */
export const JOIN_TOKEN = 'join-token-of-the-test-fleet';

/** What a test's cloud is made of, for `seed`: the image's file exists nowhere, simulated guests do not read it. */
export const TEST_SEED = {
  images: [
    {
      name: 'test-image',
      type: 'Test',
      version: '1',
      description: null,
      sizeBytes: 0,
      files: { disk: { url: '/nowhere', sha256: createHash('sha256').digest('hex'), format: 'raw' as const } },
    },
  ],
  floatingIps: Array.from({ length: 20 }, (_, index) => `198.51.100.${index + 10}`),
  publicKey: 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKv2Q3m0m2m9qk8mFz0yJ5pVtq0M2b3n4o5p6q7r8s9t test',
  apiKey: 'baton_key_of_the_test_organization',
};

/** What a VM needs, beside its name. */
export const TEST_VM = {
  environment_name: 'demo',
  flavor_name: 'tiny-1',
  image_name: 'test-image',
  key_name: 'demo',
};

export interface Servers {
  readonly databaseUrl: string;
  readonly amqpUrl: string;
}

export interface RoleProcess {
  readonly process: ServerProcess;
  /** Starts it again as it was, after it was stopped or killed. */
  restart(): Promise<void>;
  stop(signal?: NodeJS.Signals): Promise<void>;
}

export interface ConductorProcess extends RoleProcess {
  readonly url: string;
}

type Environment = Readonly<Record<string, string>>;

async function run(args: readonly string[], env: Environment, answers: () => Promise<void>): Promise<RoleProcess> {
  const start = async (): Promise<ServerProcess> => {
    const server = await ServerProcess.start({
      file: process.execPath,
      args: [MAIN, ...args],
      options: { env: { ...process.env, BATON_ENV: 'development', BATON_LOG_LEVEL: 'warn', ...env } },
      stopSignal: 'SIGTERM',
    });
    await server.untilItAnswers(answers, START_PATIENCE_MS);
    return server;
  };
  let current = await start();
  return {
    get process() {
      return current;
    },
    async restart() {
      await current.stop('SIGKILL');
      current = await start();
    },
    stop: (signal) => current.stop(signal),
  };
}

export async function startConductorProcess(servers: Servers, env: Environment = {}): Promise<ConductorProcess> {
  const [port] = (await freePorts(1)) as [number];
  const url = `http://127.0.0.1:${port}`;
  const role = await run(
    [],
    {
      DATABASE_URL: servers.databaseUrl,
      AMQP_URL: servers.amqpUrl,
      BATON_PORT: String(port),
      BATON_JOIN_TOKEN: JOIN_TOKEN,
      BATON_EGRESS_ALLOW: '127.0.0.0/8',
      ...env,
    },
    async () => {
      const answer = await fetch(`${url}/readyz`);
      if (!answer.ok) throw new Error(`not ready: ${await answer.text()}`);
    },
  );
  return Object.assign(role, { url });
}

export interface ComputeOptions {
  readonly name: string;
  readonly conductorUrl: string;
  /** Of this node alone; kept over restarts. */
  readonly stateFolder: string;
  readonly env?: Environment;
}

/** Answers as soon as the process runs: wait for the node in the fleet where it matters. */
export async function startComputeProcess(servers: Servers, options: ComputeOptions): Promise<RoleProcess> {
  await mkdir(options.stateFolder, { recursive: true });
  return await run(
    ['--compute', '--name', options.name],
    {
      AMQP_URL: servers.amqpUrl,
      BATON_CONDUCTOR_URL: options.conductorUrl,
      BATON_HYPERVISOR: 'simulated',
      BATON_STATE_FOLDER: options.stateFolder,
      BATON_JOIN_TOKEN: JOIN_TOKEN,
      ...options.env,
    },
    async () => undefined,
  );
}
