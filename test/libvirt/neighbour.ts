/**
 * Another guest on the bridge of an environment, as far as its network goes: a network namespace on a port of the bridge
 * with the name of the guest's tap, isolated like it, with the guest's card and address. The guest itself is not started.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { promisify } from 'node:util';
import { tapOf } from '../../src/compute/network/subnet.js';
import type { NetworkSpec } from '../../src/protocol/network.js';

const run = promisify(execFile);

/** Exits with 0 when something listens. */
const CONNECT = `
  const [host, port, timeout] = process.argv.slice(1);
  require('node:net').connect({ host, port: Number(port), timeout: Number(timeout) })
    .on('connect', () => process.exit(0)).on('timeout', () => process.exit(1)).on('error', () => process.exit(1));
`;

const LISTEN = `require('node:net').createServer().listen(Number(process.argv[1]), () => console.log('listening'));`;

const SEND = `
  const [from, to, host] = process.argv.slice(1);
  const socket = require('node:dgram').createSocket('udp4');
  socket.bind(Number(from), () => socket.send('offer', Number(to), host, () => socket.close()));
`;

/** The suite's own options would reach these programs too. */
const env = { ...process.env, NODE_OPTIONS: '' };

let made = 0;

export class Neighbour {
  private readonly namespace = `baton-nb-${process.pid}-${(made += 1)}`;

  private constructor(
    private readonly vmUuid: string,
    private readonly gateway: string,
  ) {}

  static async on(bridge: string, vmUuid: string, { address, mac, gateway }: NetworkSpec): Promise<Neighbour> {
    const neighbour = new Neighbour(vmUuid, gateway);
    const { namespace } = neighbour;
    const port = tapOf(vmUuid);
    await ip('netns', 'add', namespace);
    await ip('link', 'add', port, 'type', 'veth', 'peer', 'name', 'eth0', 'address', mac, 'netns', namespace);
    await ip('link', 'set', port, 'master', bridge, 'up');
    await ip('link', 'set', port, 'type', 'bridge_slave', 'isolated', 'on');
    await ip('-n', namespace, 'address', 'add', `${address}/24`, 'dev', 'eth0');
    await ip('-n', namespace, 'link', 'set', 'eth0', 'up');
    await ip('-n', namespace, 'route', 'add', 'default', 'via', gateway);
    return neighbour;
  }

  /** Speaks with another address from now on. */
  async changeAddress(address: string): Promise<void> {
    await ip('-n', this.namespace, 'address', 'flush', 'dev', 'eth0');
    await ip('-n', this.namespace, 'address', 'add', `${address}/24`, 'dev', 'eth0');
    await ip('-n', this.namespace, 'route', 'replace', 'default', 'via', this.gateway);
  }

  /** Speaks with another card from now on. */
  async changeCard(mac: string): Promise<void> {
    await ip('-n', this.namespace, 'link', 'set', 'eth0', 'address', mac);
    await ip('-n', this.namespace, 'route', 'replace', 'default', 'via', this.gateway);
  }

  async reaches(host: string, port: number, timeoutMs = 2_000): Promise<boolean> {
    return await run('ip', this.program(CONNECT, host, port, timeoutMs), { env }).then(
      () => true,
      () => false,
    );
  }

  /** Something takes connections on the port until it is killed. */
  async listen(port: number): Promise<ChildProcess> {
    // `ip` becomes the program that it runs: ending the one ends the other.
    const listening = spawn('ip', this.program(LISTEN, port), { stdio: ['ignore', 'pipe', 'inherit'], env });
    await once(listening.stdout!, 'data');
    return listening;
  }

  async sendUdp({ from, to, host }: { from: number; to: number; host: string }): Promise<void> {
    await run('ip', this.program(SEND, from, to, host), { env });
  }

  async close(): Promise<void> {
    await ip('link', 'delete', tapOf(this.vmUuid));
    await ip('netns', 'delete', this.namespace);
  }

  private program(source: string, ...args: (string | number)[]): string[] {
    return ['netns', 'exec', this.namespace, process.execPath, '-e', source, ...args.map(String)];
  }
}

async function ip(...args: string[]): Promise<void> {
  await run('ip', args);
}
