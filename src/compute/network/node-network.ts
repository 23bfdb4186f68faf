/**
 * The NAT network of one compute node: bridge and DHCP by libvirt, addresses by static host entries, translation by a
 * firewall table and floating addresses of our own.
 *
 * All changes run through one queue: two VMs defined at the same time would otherwise read the same list of free
 * addresses. What is remembered is only in the network's document and in the domains; this object holds no state that
 * a restart could lose.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { HypervisorError } from '../hypervisor/hypervisor.js';
import type { LeaseRecord } from '../hypervisor/libvirt/calls.js';
import type { LibvirtConnection } from '../hypervisor/libvirt/connection.js';
import { sendDhcpRelease } from './dhcp-release.js';
import { deleteTable, replaceTable, type FirewallScope, type GuestNetwork } from './firewall-table.js';
import { letHostAnswerForGuests } from './guest-isolation.js';
import { syncFloatingAddresses } from './floating-addresses.js';
import { hostEntryXml, networkXml, parseNetwork, type NetworkDocument } from './network-document.js';
import { SerialQueue } from './serial-queue.js';
import { firstFreeAddress, gatewayOf, macOf, netmaskOf, parseSubnet, type Subnet } from './subnet.js';

/** libvirt learns from a helper of the DHCP server's that a lease has ended, a moment after it has. */
const LEASE_LOOKS = 20;
const LOOK_EVERY_MS = 50;

export interface NodeNetworkOptions {
  /** Name in libvirt and of the firewall table, for example `baton-node-1`. */
  readonly name: string;
  /** At most 15 characters, the kernel's limit for the name of an interface. */
  readonly bridge: string;
  /** For example `192.168.123.0/24`. No other network of the host may overlap it. */
  readonly subnet: string;
}

export class NodeNetwork {
  readonly gateway: string;
  private readonly subnet: Subnet;
  private readonly firewall: FirewallScope;
  private readonly changes = new SerialQueue();

  /** @throws RangeError when the options cannot be used. */
  constructor(
    private readonly options: NodeNetworkOptions,
    metadataBaseUrl: (gateway: string) => string,
    private readonly connection: Pick<LibvirtConnection, 'call'>,
    private readonly log: Logger,
  ) {
    const { name, bridge } = options;
    if (!/^[A-Za-z][A-Za-z0-9_.-]{0,62}$/.test(name)) {
      throw new RangeError(`network name '${name}': use a letter, then letters, digits, '.', '_' or '-'`);
    }
    if (!/^[A-Za-z][A-Za-z0-9_-]{0,14}$/.test(bridge)) {
      throw new RangeError(`bridge name '${bridge}': use at most 15 letters, digits, '_' or '-', a letter first`);
    }
    this.subnet = parseSubnet(options.subnet);
    this.gateway = gatewayOf(this.subnet);
    this.firewall = { table: name, bridge, subnet: this.subnet, metadataPort: portOf(metadataBaseUrl(this.gateway)) };
  }

  /** Makes and starts the network where it is missing. */
  ensure(): Promise<void> {
    return this.changes.run(async () => {
      const { name, bridge, subnet } = this.options;
      const present = await this.connection.call('network', name);
      if (!present) await this.connection.call('defineNetwork', networkXml(name, bridge, this.subnet));
      else this.refuseOther(parseNetwork(present.xml));
      if (!present?.active) {
        await this.connection.call('startNetwork', name);
        this.log.info({ network: name, bridge, subnet }, 'network started');
      }
      await letHostAnswerForGuests(bridge);
    });
  }

  /** The address of a VM: the one it has, or the first free one, kept until `release`. */
  allocate(vmUuid: string): Promise<string> {
    return this.changes.run(async () => {
      const mac = macOf(vmUuid);
      const { hosts } = await this.document();
      const present = hosts.find((host) => host.mac === mac);
      if (present) return present.address;

      // dnsmasq refuses an address to its new owner while the lease of the former one lasts.
      const leases = await this.connection.call('leases', this.options.name);
      const leased = leases.filter((lease) => lease.mac.toLowerCase() !== mac).map((lease) => lease.address);
      const address = firstFreeAddress(this.subnet, new Set([...hosts.map((host) => host.address), ...leased]));
      if (!address) throw new HypervisorError(`The node's network ${this.subnet.cidr} has no free address.`, true);
      await this.connection.call('updateHostEntry', this.options.name, 'add', hostEntryXml({ mac, address }));
      return address;
    });
  }

  /** Gives a VM's address back, with the lease of it; nothing if it has none. The guest must be off. */
  release(vmUuid: string): Promise<void> {
    return this.changes.run(async () => {
      const mac = macOf(vmUuid);
      const network = await this.connection.call('network', this.options.name);
      if (!network) return;
      await this.endLeases(mac);
      const entry = parseNetwork(network.xml).hosts.find((host) => host.mac === mac);
      if (entry) await this.connection.call('updateHostEntry', this.options.name, 'remove', hostEntryXml(entry));
    });
  }

  /** Puts floating addresses and security rules in force. The list is read inside the queue, so the last one to come knows all. */
  apply(read: () => Promise<readonly GuestNetwork[]>): Promise<void> {
    return this.changes.run(async () => {
      const guests = await read();
      await replaceTable(this.firewall, guests);
      const floating = guests.flatMap(({ floatingIp }) => floatingIp ?? []);
      await syncFloatingAddresses(this.options.bridge, new Set(floating));
    });
  }

  /** Removes everything of this network from the host. For uninstalling and tests; no VM may be left on it. */
  destroy(): Promise<void> {
    return this.changes.run(async () => {
      await this.connection.call('removeNetwork', this.options.name);
      await deleteTable(this.firewall.table);
    });
  }

  /** A lease that stays costs no more than its address for a few minutes: not worth failing a removal for. */
  private async endLeases(mac: string): Promise<void> {
    try {
      const leases = await this.leasesOf(mac);
      for (const { address } of leases) await sendDhcpRelease({ server: this.gateway, mac, address });
      for (let looks = 0; looks < LEASE_LOOKS && (await this.leasesOf(mac)).length > 0; looks++) await delay(LOOK_EVERY_MS);
    } catch (error) {
      this.log.warn({ err: error, mac }, 'the DHCP lease of a removed VM could not be ended; it will run out by itself');
    }
  }

  private async leasesOf(mac: string): Promise<readonly LeaseRecord[]> {
    const leases = await this.connection.call('leases', this.options.name);
    return leases.filter((lease) => lease.mac.toLowerCase() === mac);
  }

  private async document(): Promise<NetworkDocument> {
    const network = await this.connection.call('network', this.options.name);
    if (!network) throw new HypervisorError('The network of the compute node is missing; restart its worker.', true);
    return parseNetwork(network.xml);
  }

  private refuseOther({ bridge, gateway, netmask }: NetworkDocument): void {
    const same = bridge === this.options.bridge && gateway === this.gateway && netmask === netmaskOf(this.subnet);
    if (same) return;
    throw new HypervisorError(
      `The libvirt network '${this.options.name}' exists with bridge ${bridge} and ${gateway}/${netmask}, but the ` +
        `configuration says ${this.options.bridge} and ${this.subnet.cidr}. Configure the same, or remove it with ` +
        `'virsh net-destroy' and 'virsh net-undefine' once it has no VMs.`,
      false,
    );
  }
}

const portOf = (url: string): number => {
  const { port, protocol } = new URL(url);
  return port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port);
};
