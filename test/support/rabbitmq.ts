/**
 * A RabbitMQ of one's own: Debian's rabbitmq-server with a private node name, ports, data folder, cookie and port
 * mapper, so that it neither meets nor disturbs a broker of the machine. `restart` keeps its address and its data.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { connect } from 'amqplib';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { freePorts, scratchFolder } from './scratch.js';
import { ServerProcess, type ServerCommand } from './server-process.js';

// The script itself: the wrapper in /usr/sbin changes to the system's user and data folder.
const SERVER = '/usr/lib/rabbitmq/bin/rabbitmq-server';
const PORT_MAPPER = '/usr/bin/epmd';
const START_PATIENCE_MS = 90_000;

export interface RabbitMqServer {
  readonly url: string;
  /** `crash` kills it as a power failure would; otherwise it is shut down in order. */
  restart(how?: 'orderly' | 'crash'): Promise<void>;
  /** Away until `start`. */
  halt(how?: 'orderly' | 'crash'): Promise<void>;
  start(): Promise<void>;
  /** For good, with all its data. */
  stop(): Promise<void>;
  readonly lastOutput: string;
}

export async function startRabbitMq(): Promise<RabbitMqServer> {
  if (!existsSync(SERVER)) throw new Error('RabbitMQ is missing: apt-get install rabbitmq-server');
  const folder = await scratchFolder('rabbitmq');
  const [amqp, distribution, portMapper] = (await freePorts(3)) as [number, number, number];
  const command = await prepare(folder, { amqp, distribution, portMapper });
  const url = `amqp://guest:guest@127.0.0.1:${amqp}`;

  const mapper = await ServerProcess.start({
    file: PORT_MAPPER,
    args: ['-port', String(portMapper), '-address', '127.0.0.1'],
    options: {},
    stopSignal: 'SIGKILL',
  });
  let broker: ServerProcess | undefined;
  const start = async (): Promise<void> => {
    broker = await ServerProcess.start(command);
    await broker.untilItAnswers(async () => await (await connect(url)).close(), START_PATIENCE_MS);
  };
  const halt = async (how: 'orderly' | 'crash' = 'orderly'): Promise<void> =>
    await broker?.stop(how === 'crash' ? 'SIGKILL' : undefined);
  const stop = async (): Promise<void> => {
    await halt('crash');
    await mapper.stop();
    await rm(folder, { recursive: true, force: true });
  };
  const restart = async (how?: 'orderly' | 'crash'): Promise<void> => {
    await halt(how);
    await start();
  };
  try {
    await start();
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    url,
    restart,
    halt,
    start,
    stop,
    get lastOutput() {
      return broker?.lastOutput ?? '';
    },
  };
}

interface Ports {
  readonly amqp: number;
  readonly distribution: number;
  readonly portMapper: number;
}

async function prepare(folder: string, ports: Ports): Promise<ServerCommand> {
  const config = join(folder, 'rabbitmq.conf');
  const plugins = join(folder, 'enabled_plugins');
  const environment = join(folder, 'rabbitmq-env.conf');
  await writeFile(
    config,
    [
      `listeners.tcp.1 = 127.0.0.1:${ports.amqp}`,
      'disk_free_limit.absolute = 50MB',
      // By default the log of the quorum queues reserves half a gigabyte.
      'raft.wal_max_size_bytes = 16777216',
      '',
    ].join('\n'),
  );
  await writeFile(plugins, '[].\n');
  await writeFile(environment, '');
  const home = join(folder, 'home');
  await mkdir(home);
  return {
    file: SERVER,
    args: [],
    options: {
      cwd: home,
      env: {
        ...process.env,
        HOME: home,
        RABBITMQ_NODENAME: `baton-${ports.amqp}@localhost`,
        RABBITMQ_DIST_PORT: String(ports.distribution),
        ERL_EPMD_PORT: String(ports.portMapper),
        RABBITMQ_CONFIG_FILE: config,
        RABBITMQ_CONF_ENV_FILE: environment,
        RABBITMQ_ENABLED_PLUGINS_FILE: plugins,
        RABBITMQ_MNESIA_BASE: join(folder, 'data'),
        RABBITMQ_LOG_BASE: join(folder, 'log'),
        RABBITMQ_PID_FILE: join(folder, 'pid'),
        // Makes the script become the broker, so that its process id is the broker's and a signal reaches it.
        RUNNING_UNDER_SYSTEMD: 'true',
      },
    },
    stopSignal: 'SIGTERM',
  };
}
