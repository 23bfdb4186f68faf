/**
 * Another guest on the bridge of a compute node, as far as its network goes: a network namespace on a port of the bridge
 * with the name of the guest's tap, isolated like it, with the guest's card and address. The guest itself is not started.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { macOf, tapOf } from '../../src/compute/network/subnet.js';

const run = promisify(execFile);

/** Exits with 0 when something listens. */
const CONNECT = `
  const [host, port, timeout] = process.argv.slice(1);
  require('node:net').connect({ host, port: Number(port), timeout: Number(timeout) })
    .on('connect', () => process.exit(0)).on('timeout', () => process.exit(1)).on('error', () => process.exit(1));
`;

export class Neighbour {
  private readonly namespace = `baton-nb-${process.pid}`;

  private constructor(
    private readonly vmUuid: string,
    private readonly gateway: string,
  ) {}

  static async on(bridge: string, vmUuid: string, address: string, gateway: string): Promise<Neighbour> {
    const neighbour = new Neighbour(vmUuid, gateway);
    const { namespace } = neighbour;
    const port = tapOf(vmUuid);
    await ip('netns', 'add', namespace);
    await ip('link', 'add', port, 'type', 'veth', 'peer', 'name', 'eth0', 'address', macOf(vmUuid), 'netns', namespace);
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
    const ask = ['netns', 'exec', this.namespace, process.execPath, '-e', CONNECT, host, String(port), String(timeoutMs)];
    return await run('ip', ask, { env: { ...process.env, NODE_OPTIONS: '' } }).then(
      () => true,
      () => false,
    );
  }

  async close(): Promise<void> {
    await ip('link', 'delete', tapOf(this.vmUuid));
    await ip('netns', 'delete', this.namespace);
  }
}

async function ip(...args: string[]): Promise<void> {
  await run('ip', args);
}
