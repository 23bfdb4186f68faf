/**
 * The networks of one compute node: for each environment that has guests here a bridge with DHCP by libvirt, a firewall
 * table of our own, and an interface of the node's for floating addresses and metadata.
 *
 * A network is made for its first guest and removed with its last one, whose host entries are counted. Workers of one
 * host share it: each looks first, does what is missing, and puts back what another took away in the same moment
 * (`attach` comes before every start of a guest). All changes of one worker run through one queue. What is remembered is
 * only in libvirt's documents and in the domains; this object holds no state that a restart could lose.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { NetworkSpec } from '../../protocol/network.js';
import { LibvirtCallError, type LeaseRecord } from '../hypervisor/libvirt/calls.js';
import type { LibvirtConnection } from '../hypervisor/libvirt/connection.js';
import { sendDhcpRelease } from './dhcp-release.js';
import { deleteTable, replaceTable, type FirewallScope, type GuestNetwork } from './firewall-table.js';
import { letHostAnswerForGuests } from './guest-isolation.js';
import { deleteNodeInterface, makeNodeInterface, syncHostAddresses } from './node-interface.js';
import { gatewayIn, hostEntries, hostEntryXml, networkName, networkXml, subnetNamed, type HostEntry } from './network-document.js';
import { SerialQueue } from './serial-queue.js';
import { bridgeOf } from './subnet.js';

/** libvirt learns from a helper of the DHCP server's that a lease has ended, a moment after it has. */
const LEASE_LOOKS = 20;
const LOOK_EVERY_MS = 50;

export interface NodeNetworkOptions extends FirewallScope {
  /** Holds floating addresses and that of the metadata service; at most 15 characters, the kernel's limit. */
  readonly interface: string;
}

/** The kernel's side, which unit tests do without. */
interface HostInterfaces {
  bridgeReady(name: string): Promise<void>;
  interfaceReady(name: string): Promise<void>;
}

export class NodeNetwork {
  private readonly changes = new SerialQueue();

  /** @throws RangeError when the options cannot be used. */
  constructor(
    private readonly options: NodeNetworkOptions,
    private readonly connection: Pick<LibvirtConnection, 'call'>,
    private readonly log: Logger,
    private readonly host: HostInterfaces = { bridgeReady: letHostAnswerForGuests, interfaceReady: makeNodeInterface },
  ) {
    const { table, interface: name } = options;
    if (!/^[A-Za-z][A-Za-z0-9_.-]{0,62}$/.test(table)) {
      throw new RangeError(`firewall table '${table}': use a letter, then letters, digits, '.', '_' or '-'`);
    }
    if (!/^[A-Za-z][A-Za-z0-9_-]{0,14}$/.test(name)) {
      throw new RangeError(`interface '${name}': use at most 15 letters, digits, '_' or '-', a letter first`);
    }
  }

  /**
   * Makes the node's interface where it is missing, and removes what a crash has left behind: networks, and places on
   * them, of guests that are no more. @param present MACs of all guests of Baton on this host, whoever's they are.
   */
  prepare(present: () => Promise<ReadonlySet<string>>): Promise<void> {
    return this.changes.run(async () => {
      await this.host.interfaceReady(this.options.interface);
      for (const name of await this.connection.call('networkNames')) {
        const subnet = subnetNamed(name);
        if (subnet !== undefined) await this.sweep(subnet, present);
      }
    });
  }

  /** Gives a guest its place on its environment's network, and makes the network where it is missing. */
  attach(network: NetworkSpec): Promise<void> {
    return this.changes.run(async () => {
      const name = networkName(network.subnet);
      await this.unlessDone(name, (found) => found !== undefined, () => this.connection.call('defineNetwork', networkXml(network)));
      await this.unlessDone(name, (found) => found?.active === true, async () => {
        await this.connection.call('startNetwork', name);
        this.log.info({ network: name, bridge: bridgeOf(network.subnet) }, 'network started');
      });
      await this.host.bridgeReady(bridgeOf(network.subnet));
      const isThere = ({ mac, address }: HostEntry) => mac === network.mac && address === network.address;
      await this.unlessDone(name, (found) => hostEntries(found?.xml ?? '').some(isThere), () =>
        this.connection.call('updateHostEntry', name, 'add', hostEntryXml(network)),
      );
    });
  }

  /** Takes a guest off its network, with its lease, and removes the network with its last one. The guest must be off. */
  detach(network: NetworkSpec): Promise<void> {
    return this.changes.run(() => this.remove(network.subnet, network));
  }

  /** Puts floating addresses and security rules in force. The list is read inside the queue, so the last one to come knows all. */
  apply(read: () => Promise<readonly GuestNetwork[]>): Promise<void> {
    return this.changes.run(async () => {
      const guests = await read();
      if (guests.length === 0) await deleteTable(this.options.table);
      else await replaceTable(this.options, guests);
      const floating = guests.flatMap(({ floatingIp }) => floatingIp ?? []);
      await syncHostAddresses(this.options.interface, new Set([this.options.metadataAddress, ...floating]));
    });
  }

  /** Removes what this node has on the host beside its guests. For uninstalling and tests; no guest may be left. */
  destroy(): Promise<void> {
    return this.changes.run(async () => {
      await deleteTable(this.options.table);
      await deleteNodeInterface(this.options.interface);
    });
  }

  /** Another worker may do the same in this moment: what counts is how it is afterwards. */
  private async unlessDone(name: string, done: (found: { xml: string; active: boolean } | undefined) => boolean, change: () => Promise<void>) {
    const look = async () => done(await this.connection.call('network', name));
    if (await look()) return;
    try {
      await change();
    } catch (error) {
      if (!(error instanceof LibvirtCallError) || !(await look())) throw error;
    }
  }

  private async sweep(subnet: string, present: () => Promise<ReadonlySet<string>>): Promise<void> {
    const guests = await present();
    const network = await this.connection.call('network', networkName(subnet));
    const entries = network ? hostEntries(network.xml) : [];
    const left = entries.filter(({ mac }) => !guests.has(mac));
    if (left.length > 0 || entries.length === 0) this.log.info({ subnet, left }, 'removing what was left of guests that are no more');
    for (const entry of left) await this.remove(subnet, entry);
    if (network && entries.length === 0) await this.connection.call('removeNetwork', networkName(subnet));
  }

  private async remove(subnet: string, { mac, address }: HostEntry): Promise<void> {
    const name = networkName(subnet);
    const network = await this.connection.call('network', name);
    if (!network) return;
    const entries = hostEntries(network.xml);
    if (entries.every((entry) => entry.mac === mac)) {
      await this.connection.call('removeNetwork', name);
      this.log.info({ network: name }, 'network removed with its last guest');
      return;
    }
    await this.endLeases(name, mac, gatewayIn(network.xml));
    const entry = entries.find((other) => other.mac === mac && other.address === address);
    if (entry) await this.connection.call('updateHostEntry', name, 'remove', hostEntryXml(entry));
  }

  /** A lease that stays does no harm for the minutes until it runs out: not worth failing a removal for. */
  private async endLeases(name: string, mac: string, server: string): Promise<void> {
    try {
      const leases = await this.leasesOf(name, mac);
      for (const { address } of leases) await sendDhcpRelease({ server, mac, address });
      for (let looks = 0; looks < LEASE_LOOKS && (await this.leasesOf(name, mac)).length > 0; looks++) await delay(LOOK_EVERY_MS);
    } catch (error) {
      this.log.warn({ err: error, mac }, 'the DHCP lease of a removed VM could not be ended; it will run out by itself');
    }
  }

  private async leasesOf(name: string, mac: string): Promise<readonly LeaseRecord[]> {
    const leases = await this.connection.call('leases', name);
    return leases.filter((lease) => lease.mac.toLowerCase() === mac);
  }
}
