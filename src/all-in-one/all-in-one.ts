/**
 * A whole cloud in one process: PostgreSQL beside it, and in it the task bus, a conductor and the compute nodes. It
 * owns the order in which they start, and by that in which they stop: nodes, conductor, bus, PostgreSQL. The lock on
 * the folder comes first of all, so that no two of them ever share data.
 */
import { randomBytes } from 'node:crypto';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { DataSource } from 'typeorm';
import { fileLogger, NestLogger } from '../cli/logging.js';
import type { Shutdown } from '../cli/shutdown.js';
import type { Hypervisor } from '../compute/hypervisor/hypervisor.js';
import { loadConfig, type Environment, type Flags } from '../config/load.js';
import type { Config } from '../config/settings.js';
import { startConductor } from '../conductor/conductor.js';
import { dataSourceOptions } from '../conductor/database/data-source.js';
import { newSecret } from '../conductor/identity/secrets.js';
import { seed, type SeedImage } from '../conductor/seed/seed.js';
import { announcement } from './announcement.js';
import { choosePort } from './choose-port.js';
import { MOST_NODES, nodeConfig, startNode } from './compute-nodes.js';
import type { Decision, HypervisorName, HypervisorWish } from './decide-hypervisor.js';
import { destroyCloud } from './destroy-cloud.js';
import { EmbeddedPostgres } from './embedded-postgres.js';
import { EnvironmentFile, type EnvironmentEntries } from './environment-file.js';
import { lockExclusively } from './exclusive-lock.js';
import { prepareFolders, type Folders } from './folders.js';
import { decideForThisHost, guestImageFolder, prepareImage, prepareLibvirt } from './prepare-host.js';
import type { Progress } from './progress.js';
import { homeFolder } from './settings.js';
import { keepSshKeypair } from './ssh-keypair.js';
import { openTaskBus, type TaskBus } from './task-bus.js';

/** Of TEST-NET-2: reachable from this host, routed nowhere else. */
const FLOATING_IPS = Array.from({ length: 20 }, (_, index) => `198.51.100.${10 + index}`);

export interface AllInOneRequest {
  readonly flags: Flags;
  readonly environment: Environment;
  readonly hypervisor: HypervisorWish;
  /** Undefined: as many as there were. */
  readonly nodes: number | undefined;
}

interface Foundations {
  readonly folders: Folders;
  readonly config: Config;
  readonly logger: Logger;
  readonly shutdown: Shutdown;
  readonly progress: Progress;
}

export async function startAllInOne(request: AllInOneRequest, shutdown: Shutdown, progress: Progress): Promise<void> {
  const { flags, environment } = request;
  const folders = await prepareFolders(homeFolder(environment));
  lockExclusively(folders.home);
  if (folders.data !== folders.home)
    progress.say(`Data is kept in ${folders.data}: other system users cannot enter ${folders.home}.`);
  const file = new EnvironmentFile(folders.home);
  if (flags['fresh'] === true) await destroyCloud(folders, await file.read(), progress);
  const before = await file.read();
  const nodes = nodeCount(request.nodes, before);
  const decision = await decideForThisHost({
    hypervisor: request.hypervisor,
    madeWith: before.BATON_HYPERVISOR as HypervisorName | undefined,
    installationAllowed: flags['no-install'] !== true,
  });
  if (decision.hypervisor === 'simulated')
    progress.say(`NO REAL VIRTUAL MACHINES: the hypervisor is simulated, because ${decision.reason}`);
  else await prepareLibvirt(decision, folders, progress);

  const given = environment['DATABASE_URL'];
  // Who has read our own file into his shell gives back where our PostgreSQL was the last time.
  const isForeign = given && !(await EmbeddedPostgres.isOf(folders.data, given));
  const databaseUrl = isForeign ? given : await startPostgres(folders, shutdown, progress);
  const secretKey = environment['BATON_SECRET_KEY'] || before.BATON_SECRET_KEY || randomBytes(32).toString('base64');
  const config = configure(request, decision, folders, { DATABASE_URL: databaseUrl, BATON_SECRET_KEY: secretKey });
  const apiKey = before.BATON_API_KEY ?? newSecret('key');
  const entries = { BATON_API_KEY: apiKey, BATON_SECRET_KEY: secretKey, BATON_HYPERVISOR: decision.hypervisor, BATON_NODES: String(nodes) };
  // Before anything is made with them: a crash from here on must not forget what the cloud was made with.
  await file.write({ ...entries, DATABASE_URL: databaseUrl });

  const logFile = join(folders.home, 'baton.log');
  await rename(logFile, `${logFile}.1`).catch(() => undefined);
  const logger = fileLogger(config.logLevel, logFile);
  const foundations = { folders, config, logger, shutdown, progress };
  const { hypervisor } = decision;
  const image = await prepareImage({ hypervisor, folders, imageStore: config.imageStore, signal: shutdown.signal }, progress);
  const bus = openTaskBus(config, logger);
  await shutdown.afterwards('the task bus', () => bus.close());
  const askedForPort = (flags['port'] ?? environment['BATON_PORT'] ?? '') !== '';
  const url = await startServing(foundations, bus, await choosePort(config, askedForPort, progress));
  const { privateKeyFile, acceleration } = await populate(foundations, { apiKey, image, bus, url, nodes });
  await file.write({ BATON_URL: url, ...entries, DATABASE_URL: databaseUrl });
  progress.say(
    announcement({
      url,
      apiKey,
      environmentFile: file.path,
      logFile,
      privateKeyFile,
      nodes,
      hypervisor: describeHypervisor(decision, acceleration),
      realGuests: hypervisor === 'libvirt',
    }),
  );
  progress.say(`READY ${url}`);
}

function nodeCount(wanted: number | undefined, before: EnvironmentEntries): number {
  const existing = Math.min(Number(before.BATON_NODES ?? 0), MOST_NODES);
  if (wanted !== undefined && wanted < existing)
    throw new Error(
      `This cloud has ${existing} nodes, which may hold virtual machines: nodes can be added, not dropped. ` +
        `Start anew with bin/up --nodes ${wanted} --fresh`,
    );
  return wanted ?? (existing || 1);
}

async function startPostgres({ data }: Folders, shutdown: Shutdown, progress: Progress): Promise<string> {
  const postgres = await progress.step('Starting PostgreSQL', () => EmbeddedPostgres.start(data));
  await shutdown.afterwards('PostgreSQL', () => postgres.stop());
  postgres.onUnexpectedEnd(() => {
    if (shutdown.underWay) return;
    process.stderr.write(`PostgreSQL has ended by itself; see ${data}/postgres/log. Stopping.\n`);
    process.exitCode = 1;
    process.kill(process.pid, 'SIGTERM');
  });
  return postgres.url;
}

function configure(request: AllInOneRequest, { hypervisor }: Decision, folders: Folders, own: Environment): Config {
  const environment = {
    BATON_IMAGE_STORE: join(folders.data, 'images'),
    // Known to this process alone: only its own nodes can join with it.
    BATON_JOIN_TOKEN: newSecret('join'),
    ...(hypervisor === 'libvirt' && { BATON_PROBE_GUEST: guestImageFolder(folders) }),
    ...request.environment,
    BATON_HYPERVISOR: hypervisor,
    ...own,
  };
  return loadConfig(['conductor', 'compute'], { ...request.flags, hypervisor }, environment);
}

async function startServing({ config, logger, shutdown, progress }: Foundations, bus: TaskBus, port: number): Promise<string> {
  const conductor = await progress.step('Starting the conductor', () =>
    startConductor({ ...config, port }, { publisher: bus.publisher, logger: new NestLogger(logger) }),
  );
  await shutdown.afterwards('the conductor', () => conductor.stop());
  return conductor.url;
}

interface Population {
  readonly apiKey: string;
  readonly image: SeedImage;
  readonly bus: TaskBus;
  readonly url: string;
  readonly nodes: number;
}

/** The catalog, then the nodes: a node joins a region that must exist. */
async function populate({ folders, config, logger, shutdown, progress }: Foundations, population: Population) {
  const { apiKey, image, bus, url, nodes } = population;
  const { publicKey, privateKeyFile } = await keepSshKeypair(join(folders.home, 'ssh'));
  const dataSource = await new DataSource(dataSourceOptions({ ...config, databasePool: 2 })).initialize();
  try {
    await seed(dataSource, { region: config.region, images: [image], floatingIps: FLOATING_IPS, subnets: config, publicKey, apiKey });
    const start = async (node: Config): Promise<void> => {
      const worker = await startNode(node, { conductorUrl: url, consumer: bus.consumer(), logger });
      await shutdown.afterwards(node.nodeName!, () => worker.stop());
    };
    const first = nodeConfig(config, 0, folders.data);
    await progress.step(`Starting node-1${config.hypervisor === 'libvirt' ? ' (the first time it tries KVM)' : ''}`, () => start(first));
    const acceleration = await accelerationOf(dataSource, first.nodeName!);
    // The host is the same: what the first node found out need not be tried again by each.
    const others = Array.from({ length: nodes - 1 }, (_, index) => ({
      ...nodeConfig(config, index + 1, folders.data),
      acceleration: acceleration === 'none' ? config.acceleration : acceleration,
    }));
    if (others.length > 0)
      await progress.step(`Starting ${others.length} more`, () => Promise.all(others.map((node) => start(node))));
    return { privateKeyFile, acceleration };
  } finally {
    await dataSource.destroy();
  }
}

async function accelerationOf(dataSource: DataSource, node: string): Promise<Hypervisor['acceleration']> {
  const [row] = await dataSource.query<[{ acceleration: Hypervisor['acceleration'] }]>(
    'SELECT acceleration FROM compute_node WHERE name = $1',
    [node],
  );
  return row.acceleration;
}

function describeHypervisor({ hypervisor, reason }: Decision, acceleration: Hypervisor['acceleration']): string {
  if (hypervisor === 'simulated') return `simulated: no guest runs, because ${reason}`;
  return acceleration === 'kvm'
    ? 'libvirt with KVM: guests run on the processor'
    : 'libvirt with emulation (TCG), because no guest boots under KVM on this host: guests are real, but slow';
}
