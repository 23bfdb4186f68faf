/**
 * The world outside of a compute node: a network namespace with one machine's worth of network, on a cable of its own
 * to the host. What it sends never leaves the host. Uses 198.51.100.64/28 of TEST-NET-2.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { promisify } from 'node:util';

const run = promisify(execFile);

const HOST_ADDRESS = '198.51.100.65';
const OUTSIDE_ADDRESS = '198.51.100.66';
const PREFIX = 28;

/** Prints the body. An agent of its own, so that no connection outlives the question. */
const ASK = `
  const [host, timeout] = process.argv.slice(1);
  require('node:http').get({ host, agent: false, timeout: Number(timeout) }, (answer) => answer.pipe(process.stdout))
    .on('timeout', function () { this.destroy(new Error('no answer')); })
    .on('error', (error) => { process.stderr.write(error.message); process.exitCode = 1; });
`;

/** Prints who comes, an address a line. */
const LISTEN = `
  require('node:http').createServer((request, answer) => {
    console.log(request.socket.remoteAddress.replace('::ffff:', ''));
    answer.end('welcome');
  }).listen(80, () => console.log('listening'));
`;

/** The suite's own options would reach these programs too. */
const env = { ...process.env, NODE_OPTIONS: '' };

export class Outside {
  /** A floating address that reaches the host from out there. */
  static readonly FLOATING_IP = '198.51.100.77';
  /** Where out there a web server answers whoever comes. */
  static readonly ADDRESS = OUTSIDE_ADDRESS;
  /** As whom the host's guests come that have no floating address. */
  static readonly HOST_ADDRESS = HOST_ADDRESS;
  /** The addresses of those who came to the web server, oldest first. */
  readonly visitors: string[] = [];
  private server?: ChildProcess;
  private readonly namespace = `baton-out-${process.pid}`;
  private readonly cable = `bo${process.pid}`;

  static async open(): Promise<Outside> {
    const outside = new Outside();
    const { namespace, cable } = outside;
    await ip('netns', 'add', namespace);
    await ip('link', 'add', cable, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace);
    await ip('address', 'add', `${HOST_ADDRESS}/${PREFIX}`, 'dev', cable);
    await ip('link', 'set', cable, 'up');
    await ip('-n', namespace, 'address', 'add', `${OUTSIDE_ADDRESS}/${PREFIX}`, 'dev', 'eth0');
    await ip('-n', namespace, 'link', 'set', 'eth0', 'up');
    await outside.listen();
    return outside;
  }

  /** As a neighbour would who guesses the network behind the host. */
  async routeTo(subnet: string): Promise<void> {
    await ip('-n', this.namespace, 'route', 'replace', subnet, 'via', HOST_ADDRESS);
  }

  /** The page of a web server. @throws when it does not answer. */
  async get(host: string, timeoutMs = 5_000): Promise<string> {
    const ask = ['netns', 'exec', this.namespace, process.execPath, '-e', ASK, host, String(timeoutMs)];
    const { stdout } = await run('ip', ask, { timeout: timeoutMs + 5_000, env });
    return stdout;
  }

  async close(): Promise<void> {
    this.server?.kill('SIGKILL');
    await ip('link', 'delete', this.cable);
    await ip('netns', 'delete', this.namespace);
  }

  private async listen(): Promise<void> {
    // `ip` becomes the program that it runs: ending the one ends the other.
    const command = ['netns', 'exec', this.namespace, process.execPath, '-e', LISTEN];
    this.server = spawn('ip', command, { stdio: ['ignore', 'pipe', 'inherit'], env });
    const lines = this.server.stdout!.setEncoding('utf8');
    await once(lines, 'data');
    lines.on('data', (text: string) => this.visitors.push(...text.split('\n').filter(Boolean)));
  }
}

async function ip(...args: string[]): Promise<void> {
  await run('ip', args);
}
