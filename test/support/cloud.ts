/**
 * A whole cloud in one process: conductors that share a fresh, migrated and seeded database, the embedded task bus,
 * and simulated compute nodes, plus two organizations that must not see each other. It owns everything it starts;
 * `stop` leaves neither a process, a connection nor a file behind.
 */
import { jest } from '@jest/globals';
import { generateKeyPairSync } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { pino } from 'pino';
import { DataSource } from 'typeorm';
import { Agent } from 'undici';
import { startConductor, type Conductor } from '../../src/conductor/conductor.js';
import { dataSourceOptions } from '../../src/conductor/database/data-source.js';
import { migrate } from '../../src/conductor/database/migrate.js';
import { seed } from '../../src/conductor/seed/seed.js';
import { loadConfig } from '../../src/config/load.js';
import { EmbeddedTaskBus } from '../../src/messaging/embedded/embedded-task-bus.js';
import type { TaskPublisher } from '../../src/messaging/task-bus.js';
import { addTenant, type CloudTenant } from './cloud-tenant.js';
import { CloudNode } from './cloud-node.js';
import { scratchFolder } from './scratch.js';
import { freshDatabase } from './servers.js';

// The page at /docs takes its scripts from here; the package requires an ES module, which jest on Node 20 cannot.
jest.unstable_mockModule('@fastify/static', () => ({ default: async () => undefined }));

export interface CloudOptions {
  /** How many compute nodes join at once: `node-1`, `node-2` … */
  readonly nodes?: number;
  /** How many conductors share the database. */
  readonly conductors?: number;
  readonly bootMs?: number;
  /** Of each node, before the allocation ratio. */
  readonly capacity?: { readonly cpus: number; readonly memoryMib: number; readonly diskGib: number };
  readonly gpus?: readonly { readonly model: string; readonly count: number }[];
  readonly floatingIps?: readonly string[];
  /** Settings by their names in the environment. */
  readonly settings?: Readonly<Record<string, string>>;
  /** What the conductors publish by, where it is not the bus itself. */
  readonly publisher?: (bus: EmbeddedTaskBus) => TaskPublisher;
}

/** Whatever the server said: the tests' expectations are its types. */
export type Json = ReturnType<typeof JSON.parse>;

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  /** The body as JSON; undefined where it is none. */
  readonly body: Json;
}

export type Headers = Readonly<Record<string, string>>;

export interface Cloud {
  readonly url: string;
  /** Of every conductor. */
  readonly urls: readonly string[];
  readonly databaseUrl: string;
  readonly bus: EmbeddedTaskBus;
  readonly database: DataSource;
  /** The seeded organization `demo`: environment and keypair have its name. */
  readonly demo: CloudTenant;
  /** A second organization, with an environment and a keypair named `other`. */
  readonly other: CloudTenant;
  readonly nodes: CloudNode[];
  /** Text and bytes are sent as they are, an object as JSON. Without headers: with the key of `demo`. */
  request(method: string, path: string, body?: unknown, headers?: Headers, conductor?: number): Promise<Answer>;
  addNode(name: string, options?: Pick<CloudOptions, 'bootMs' | 'capacity' | 'gpus'>): Promise<CloudNode>;
  stop(): Promise<void>;
}

export const JOIN_TOKEN = 'join-token-of-the-test-fleet';
export const IMAGE = 'tiny';

export async function startCloud(options: CloudOptions = {}): Promise<Cloud> {
  const logger = pino({ level: process.env['BATON_TEST_LOG'] ?? 'silent' });
  const folder = await scratchFolder('cloud');
  const config = loadConfig(['conductor'], {}, {
    BATON_ENV: 'development',
    DATABASE_URL: await freshDatabase(),
    BATON_PORT: '0',
    BATON_IMAGE_STORE: `${folder}/images`,
    BATON_JOIN_TOKEN: JOIN_TOKEN,
    BATON_HEARTBEAT_SECONDS: '0.5',
    BATON_NODE_LEASE_SECONDS: '15',
    ...options.settings,
  });
  const database = await new DataSource(dataSourceOptions({ ...config, databasePool: 4 })).initialize();
  await migrate(database);
  await seed(database, {
    images: [seedImage],
    floatingIps: options.floatingIps ?? [],
    publicKey: newPublicKey(),
    apiKey: 'baton_key_of_the_demo_organization',
  });
  const bus = new EmbeddedTaskBus(logger);
  const publisher = options.publisher?.(bus) ?? bus;
  const conductors: Conductor[] = [];
  for (let n = 0; n < (options.conductors ?? 1); n++)
    conductors.push(await startConductor(config, { publisher, logger: false }));
  const agent = new Agent({ connections: 64 });
  const urls = conductors.map((conductor) => conductor.url);
  const nodes: CloudNode[] = [];
  const demo: CloudTenant = { name: 'demo', key: 'baton_key_of_the_demo_organization' };

  const cloud: Cloud = {
    url: urls[0]!,
    urls,
    bus,
    database,
    databaseUrl: config.databaseUrl,
    demo,
    other: await addTenant(database, 'other', newPublicKey()),
    nodes,
    request: (method, path, body, headers = { api_key: demo.key }, conductor = 0) =>
      send(agent, urls[conductor]!, method, path, body, headers),
    async addNode(name, { bootMs, capacity, gpus } = {}) {
      const node = new CloudNode({
        name,
        bus,
        logger,
        conductorUrl: urls[nodes.length % urls.length]!,
        stateFolder: `${folder}/${name}`,
        joinToken: JOIN_TOKEN,
        bootMs: bootMs ?? options.bootMs ?? 0,
        capacity: { ...(capacity ?? options.capacity ?? { cpus: 32, memoryMib: 131_072, diskGib: 2000 }), gpus: gpus ?? options.gpus ?? [] },
      });
      nodes.push(node);
      await node.start();
      return node;
    },
    async stop() {
      await Promise.all(nodes.map((node) => node.stop()));
      await Promise.all(conductors.map((conductor) => conductor.stop()));
      await agent.close();
      await bus.close();
      await database.destroy();
      await rm(folder, { recursive: true, force: true });
    },
  };
  for (let n = 1; n <= (options.nodes ?? 1); n++) await cloud.addNode(`node-${n}`);
  return cloud;
}

const seedImage = {
  name: IMAGE,
  type: 'Tiny',
  version: '1',
  description: 'An image that no simulated guest ever reads',
  sizeBytes: 1,
  files: { disk: { url: 'image-files/tiny', sha256: 'a'.repeat(64), format: 'qcow2' as const } },
};

/** In OpenSSH's form. */
function newPublicKey(): string {
  const { publicKey } = generateKeyPairSync('ed25519');
  const raw = publicKey.export({ type: 'spki', format: 'der' }).subarray(-32);
  const type = Buffer.from('ssh-ed25519');
  const field = (bytes: Buffer): Buffer => Buffer.concat([Buffer.from([0, 0, 0, bytes.length]), bytes]);
  return `ssh-ed25519 ${Buffer.concat([field(type), field(raw)]).toString('base64')} test`;
}

const contentType = (content: string | Buffer): string => (Buffer.isBuffer(content) ? 'application/octet-stream' : 'application/json');

async function send(
  agent: Agent,
  origin: string,
  method: string,
  path: string,
  body: unknown,
  headers: Headers,
): Promise<Answer> {
  const content = body === undefined ? null : typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body);
  const answer = await agent.request({
    origin,
    method: method as 'GET',
    path,
    body: content,
    headers: { ...(content === null ? {} : { 'content-type': contentType(content) }), ...headers },
  });
  const text = await answer.body.text();
  return { status: answer.statusCode, headers: answer.headers, text, body: parsed(text) };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
