import { describe, expect, it } from '@jest/globals';
import pino from 'pino';
import type { LibvirtConnection } from '../hypervisor/libvirt/connection.js';
import { parseNetwork, networkXml } from './network-document.js';
import { NodeNetwork } from './node-network.js';
import { DEFAULT_RULES } from '../../protocol/security-rule.js';
import { renderTable, type GuestNetwork } from './firewall-table.js';
import { macOf, parseSubnet, tapOf } from './subnet.js';

const OPTIONS = { name: 'baton-node-1', bridge: 'baton1', subnet: '192.168.123.0/24' };

/** Libvirt's memory of a network: a document whose host entries change only after a while, as over a real socket. */
class RememberedNetwork {
  xml = networkXml(OPTIONS.name, OPTIONS.bridge, parseSubnet(OPTIONS.subnet));
  leases: { mac: string; address: string }[] = [];

  readonly call = (async (method: string, ...args: string[]) => {
    await new Promise((resolve) => setImmediate(resolve));
    if (method === 'network') return { xml: this.xml, active: true };
    if (method === 'leases') return this.leases;
    if (method !== 'updateHostEntry') throw new Error(`unexpected call ${method}`);
    const [, change, entry] = args as [string, string, string];
    this.xml =
      change === 'add'
        ? this.xml.replace('</dhcp>', `${entry}</dhcp>`)
        : this.xml.replace(entry, '');
    return undefined;
  }) as unknown as LibvirtConnection['call'];
}

const metadataBaseUrl = (gateway: string) => `http://${gateway}:8775`;
const networkOn = (remembered: RememberedNetwork) => new NodeNetwork(OPTIONS, metadataBaseUrl, remembered, pino({ level: 'silent' }));

describe('the network of a node', () => {
  it('gives different addresses to VMs that ask at the same time', async () => {
    const network = networkOn(new RememberedNetwork());
    const addresses = await Promise.all(Array.from({ length: 20 }, (_, index) => network.allocate(`vm-${index}`)));
    expect(new Set(addresses).size).toBe(20);
  });

  it('gives a VM the same address again, after a restart of the worker too', async () => {
    const remembered = new RememberedNetwork();
    await networkOn(remembered).allocate('other');
    const address = await networkOn(remembered).allocate('vm');
    await networkOn(remembered).release('other');
    expect(await networkOn(remembered).allocate('vm')).toBe(address);
  });

  it('waits with an address until the lease of its former owner has run out', async () => {
    const remembered = new RememberedNetwork();
    remembered.leases = [{ mac: macOf('former'), address: '192.168.123.2' }];
    expect(await networkOn(remembered).allocate('vm')).toBe('192.168.123.3');
    expect(await networkOn(remembered).allocate('former')).toBe('192.168.123.2');
  });

  it('goes on after a failed change', async () => {
    const remembered = new RememberedNetwork();
    const network = networkOn(remembered);
    await expect(network.apply(() => Promise.reject(new Error('lost')))).rejects.toThrow('lost');
    expect(await network.allocate('vm')).toBe('192.168.123.2');
  });

  it('is refused when one of that name exists with another subnet', async () => {
    const other = { ...OPTIONS, subnet: '192.168.99.0/24' };
    const network = new NodeNetwork(other, metadataBaseUrl, new RememberedNetwork(), pino({ level: 'silent' }));
    await expect(network.ensure()).rejects.toThrow("network 'baton-node-1' exists with bridge baton1");
  });

  it.each([
    [{ ...OPTIONS, bridge: 'a-bridge-too-long' }],
    [{ ...OPTIONS, bridge: 'x;y' }],
    [{ ...OPTIONS, name: 'x { }' }],
    [{ ...OPTIONS, subnet: '192.168.123.0/33' }],
  ])('is refused with the options %j', (options) => {
    expect(() => new NodeNetwork(options, metadataBaseUrl, new RememberedNetwork(), pino({ level: 'silent' }))).toThrow(RangeError);
  });

  it('is read as it was written', () => {
    const document = parseNetwork(networkXml('n', 'b', parseSubnet('10.1.0.0/16')));
    expect(document).toEqual({ bridge: 'b', gateway: '10.1.0.1', netmask: '255.255.0.0', hosts: [] });
  });
});

describe('the firewall table of a node', () => {
  const scope = { table: 'baton-node-1', bridge: 'baton1', subnet: parseSubnet(OPTIONS.subnet), metadataPort: 8775 };

  const guest: GuestNetwork = {
    vmUuid: 'one',
    floatingIp: '198.51.100.7',
    fixedIp: '192.168.123.2',
    rules: [...DEFAULT_RULES, { direction: 'ingress', ethertype: 'IPv4', protocol: 'tcp', remoteIpPrefix: '0.0.0.0/0', portMin: 80, portMax: 80 }],
  };
  const chain = (text: string, name: string) =>
    new RegExp(`chain ${name} {\\n(.*?)\\n  }`, 's').exec(text)?.[1]?.trim().split(/\n\s*/);

  it('opens to a guest what its rules say, and drops the rest', () => {
    const text = renderTable(scope, [guest]);
    expect(chain(text, 'to_192_168_123_2')).toEqual(['ip saddr 0.0.0.0/0 tcp dport 80-80 accept', 'drop']);
    expect(chain(text, 'from_192_168_123_2')).toEqual(['ip daddr 0.0.0.0/0 return', 'drop']);
    expect(text).toContain('guests_reached { type ipv4_addr : verdict; elements = { 192.168.123.2 : goto to_192_168_123_2 }');
    expect(chain(text, 'to_guests')?.at(-1)).toBe('drop');
    expect(chain(text, 'from_guests')?.at(-1)).toBe('drop');
  });

  it('binds each guest to its card and its address', () => {
    const text = renderTable(scope, [guest]);
    expect(text).toContain(`cards { type ifname . ether_addr; elements = { "${tapOf('one')}" . ${macOf('one')} }`);
    expect(text).toContain(`addresses { type ifname . ipv4_addr; elements = { "${tapOf('one')}" . 192.168.123.2 }`);
  });

  it('translates each floating address to its fixed one and back', () => {
    const text = renderTable(scope, [guest]);
    expect(text).toContain('floating_to_fixed { type ipv4_addr : ipv4_addr; elements = { 198.51.100.7 : 192.168.123.2 }');
    expect(text).toContain('fixed_to_floating { type ipv4_addr : ipv4_addr; elements = { 192.168.123.2 : 198.51.100.7 }');
  });

  it('touches no table but its own', () => {
    const tables = [...renderTable(scope, []).matchAll(/table (\w+ \S+)/g)].map(([, table]) => table);
    expect(new Set(tables)).toEqual(new Set(['ip baton-node-1', 'bridge baton-node-1']));
  });
});
