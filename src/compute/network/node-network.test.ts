import { describe, expect, it } from '@jest/globals';
import pino from 'pino';
import type { NetworkSpec } from '../../protocol/network.js';
import { DEFAULT_RULES } from '../../protocol/security-rule.js';
import { LibvirtCallError } from '../hypervisor/libvirt/calls.js';
import type { LibvirtConnection } from '../hypervisor/libvirt/connection.js';
import { renderTable, type GuestNetwork } from './firewall-table.js';
import { gatewayIn, hostEntries, networkName, networkXml, subnetNamed } from './network-document.js';
import { NodeNetwork } from './node-network.js';
import { tapOf } from './subnet.js';

const OPTIONS = { table: 'baton-node-1', interface: 'bnode-1', metadataAddress: '169.254.75.1', metadataPort: 8775 };

const place = (number: number, environment = 0): NetworkSpec => ({
  address: `10.128.${16 * environment}.${number}`,
  mac: `02:00:0a:80:${(16 * environment).toString(16).padStart(2, '0')}:${number.toString(16).padStart(2, '0')}`,
  subnet: `10.128.${16 * environment}.0/20`,
  gateway: `10.128.${16 * environment}.1`,
});

describe('the options of a node network', () => {
  it.each([{ ...OPTIONS, interface: 'a-name-too-long-' }, { ...OPTIONS, interface: 'x;y' }, { ...OPTIONS, table: 'x { }' }])(
    'cannot be %j',
    (options) => {
      const connection = { call: (() => Promise.reject(new Error('asked'))) as unknown as LibvirtConnection['call'] };
      expect(() => new NodeNetwork(options, connection, pino({ level: 'silent' }))).toThrow(RangeError);
    },
  );
});

/** What libvirt remembers of networks. */
class RememberedNetworks {
  readonly documents = new Map<string, string>();
  /** Another worker of the host makes the same network in the very moment in which this one does. */
  twin = false;

  readonly call = (async (method: string, name: string, ...args: string[]) => {
    await new Promise((resolve) => setImmediate(resolve));
    switch (method) {
      case 'networkNames':
        return [...this.documents.keys(), 'default'];
      case 'network':
        return this.documents.has(name) ? { xml: this.documents.get(name), active: true } : undefined;
      case 'defineNetwork':
        return this.define(name);
      case 'removeNetwork':
        return void this.documents.delete(name);
      case 'leases':
        return [];
      case 'updateHostEntry':
        return this.update(name, args[0]!, args[1]!);
      default:
        throw new Error(`unexpected call ${method}`);
    }
  }) as unknown as LibvirtConnection['call'];

  entries(subnet: string): string[] {
    return hostEntries(this.documents.get(networkName(subnet)) ?? '<network/>').map(({ address }) => address);
  }

  private define(xml: string): void {
    const name = /<name>(.*?)<\/name>/.exec(xml)![1]!;
    const exists = this.documents.has(name);
    this.documents.set(name, this.documents.get(name) ?? xml);
    if (exists || this.twin) throw new LibvirtCallError({ code: 9, message: 'network already exists' });
  }

  private update(name: string, change: string, entry: string): void {
    const xml = this.documents.get(name)!;
    this.documents.set(name, change === 'add' ? xml.replace('</dhcp>', `${entry}</dhcp>`) : xml.replace(entry, ''));
  }
}

/** Without the kernel: bridges and interfaces are the matter of test/libvirt. */
const networksOn = (remembered: RememberedNetworks) =>
  new NodeNetwork(OPTIONS, remembered, pino({ level: 'silent' }), { bridgeReady: async () => undefined, interfaceReady: async () => undefined });

describe('the networks of environments on a node', () => {
  it('are made with their first guest and removed with their last', async () => {
    const remembered = new RememberedNetworks();
    const networks = networksOn(remembered);
    await Promise.all([place(2), place(3), place(2, 1)].map((guest) => networks.attach(guest)));
    expect(remembered.entries(place(2).subnet)).toEqual(['10.128.0.2', '10.128.0.3']);
    await networks.detach(place(2));
    await networks.detach(place(2));
    expect(remembered.entries(place(2).subnet)).toEqual(['10.128.0.3']);
    await networks.detach(place(3));
    expect([...remembered.documents.keys()]).toEqual(['baton-10.128.16.0-20']);
  });

  it('have a guest once, however often it is attached', async () => {
    const remembered = new RememberedNetworks();
    const networks = networksOn(remembered);
    for (let times = 0; times < 3; times++) await networks.attach(place(2));
    expect(remembered.entries(place(2).subnet)).toEqual(['10.128.0.2']);
  });

  it('are shared with a worker that makes the same one in the same moment', async () => {
    const remembered = new RememberedNetworks();
    remembered.twin = true;
    await networksOn(remembered).attach(place(2));
    expect(remembered.entries(place(2).subnet)).toEqual(['10.128.0.2']);
  });

  it('lose, after a crash, whoever is no more, and go where nobody is left; those of others stay', async () => {
    const remembered = new RememberedNetworks();
    const before = networksOn(remembered);
    await Promise.all([place(2), place(3), place(2, 1)].map((guest) => before.attach(guest)));
    remembered.documents.set(networkName(place(2, 2).subnet), networkXml(place(2, 2)));
    await networksOn(remembered).prepare(async () => new Set([place(3).mac]));
    expect(remembered.entries(place(2).subnet)).toEqual(['10.128.0.3']);
    expect([...remembered.documents.keys()]).toEqual(['baton-10.128.0.0-20']);
  });
});

describe('the document of a network', () => {
  it('is read as it was written', () => {
    expect(hostEntries(networkXml(place(2)))).toEqual([]);
    expect(gatewayIn(networkXml(place(2)))).toBe('10.128.0.1');
    expect(subnetNamed(networkName(place(2).subnet))).toBe(place(2).subnet);
  });

  it.each(['default', 'baton-node-1', 'baton-10.0.0.0-8-x'])('%s is no environment\'s', (name) => {
    expect(subnetNamed(name)).toBeUndefined();
  });
});

describe('the firewall table of a node', () => {
  const guest: GuestNetwork = {
    vmUuid: 'one',
    floatingIp: '198.51.100.7',
    network: place(2),
    rules: [...DEFAULT_RULES, { direction: 'ingress', ethertype: 'IPv4', protocol: 'tcp', remoteIpPrefix: '0.0.0.0/0', portMin: 80, portMax: 80 }],
  };
  const stranger: GuestNetwork = { vmUuid: 'two', network: place(2, 1), rules: DEFAULT_RULES };
  const chain = (text: string, name: string) =>
    new RegExp(`chain ${name} {\\n(.*?)\\n  }`, 's').exec(text)?.[1]?.trim().split(/\n\s*/);

  it('opens to a guest what its rules say, and drops the rest', () => {
    const text = renderTable(OPTIONS, [guest]);
    expect(chain(text, 'to_10_128_0_2')).toEqual(['ip saddr 0.0.0.0/0 tcp dport 80-80 accept', 'drop']);
    expect(chain(text, 'from_10_128_0_2')).toEqual(['ip daddr 0.0.0.0/0 return', 'drop']);
    expect(text).toContain('guests_reached { type ipv4_addr : verdict; elements = { 10.128.0.2 : goto to_10_128_0_2 }');
    for (const closed of ['to_guests', 'from_guests', 'arriving']) expect(chain(text, closed)?.at(-1)).toBe('drop');
  });

  it('lets nothing pass from one bridge to another', () => {
    expect(renderTable(OPTIONS, [guest, stranger])).toContain(
      'same_bridge { type ifname . ifname; elements = { "benv-0a800000" . "benv-0a800000", "benv-0a801000" . "benv-0a801000" }',
    );
  });

  it('binds each guest to its card and its address', () => {
    const text = renderTable(OPTIONS, [guest]);
    expect(text).toContain(`cards { type ifname . ether_addr; elements = { "${tapOf('one')}" . 02:00:0a:80:00:02 }`);
    expect(text).toContain(`addresses { type ifname . ipv4_addr; elements = { "${tapOf('one')}" . 10.128.0.2 }`);
  });

  it('translates each floating address to its fixed one and back', () => {
    const text = renderTable(OPTIONS, [guest, stranger]);
    expect(text).toContain('floating_to_fixed { type ipv4_addr : ipv4_addr; elements = { 198.51.100.7 : 10.128.0.2 }');
    expect(text).toContain('fixed_to_floating { type ipv4_addr : ipv4_addr; elements = { 10.128.0.2 : 198.51.100.7 }');
  });

  it('touches no table but its own', () => {
    const tables = [...renderTable(OPTIONS, []).matchAll(/table (\w+ \S+)/g)].map(([, table]) => table);
    expect(new Set(tables)).toEqual(new Set(['ip baton-node-1', 'bridge baton-node-1']));
  });
});
