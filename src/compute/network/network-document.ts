/**
 * The libvirt document of a node's network: written once when the network is made, read to learn who has which
 * address. The static host entries in it are the only memory of addresses, so a restarted worker gives the same ones.
 */
import { XMLParser } from 'fast-xml-parser';
import { renderXml, type XmlTree } from '../hypervisor/libvirt/xml.js';
import { gatewayOf, netmaskOf, type Subnet } from './subnet.js';

const DNSMASQ = 'http://libvirt.org/schemas/network/dnsmasq/1.0';
const LEASE_MINUTES = 10;

export interface HostEntry {
  readonly mac: string;
  readonly address: string;
}

export interface NetworkDocument {
  readonly bridge: string;
  readonly gateway: string;
  readonly netmask: string;
  /** Of the guests. */
  readonly hosts: readonly HostEntry[];
}

/**
 * libvirt runs the DHCP server only while the network has a host entry, and starts it anew, in two seconds, for the
 * first one that comes and after the last one that goes. This one is always there: a machine that does not exist, with
 * the address that no guest can have.
 */
const placeholder = (subnet: Subnet): XmlTree => ({ '@mac': '02:00:00:00:00:00', '@ip': gatewayOf(subnet) });

/**
 * Forward mode `open`: libvirt adds no firewall rules of its own, which would stand in the way of floating addresses.
 * Without `stp off`, `delay 0` and `no-ping` each boot waits seconds for its first packet and its address.
 */
export function networkXml(name: string, bridge: string, subnet: Subnet): string {
  return renderXml({
    network: {
      '@xmlns:dnsmasq': DNSMASQ,
      name,
      forward: { '@mode': 'open' },
      bridge: { '@name': bridge, '@stp': 'off', '@delay': '0' },
      ip: { '@address': gatewayOf(subnet), '@netmask': netmaskOf(subnet), dhcp: { host: placeholder(subnet) } },
      'dnsmasq:options': { 'dnsmasq:option': { '@value': 'no-ping' } },
    },
  });
}

/** A short lease: one that could not be ended with its VM keeps its address from others until it runs out. */
export function hostEntryXml(entry: HostEntry): string {
  const lease = { '@expiry': String(LEASE_MINUTES), '@unit': 'minutes' };
  return renderXml({ host: { '@mac': entry.mac, '@ip': entry.address, lease } });
}

const parser = new XMLParser({ ignoreAttributes: false, attributeNamePrefix: '', isArray: (name) => name === 'host' });

interface ParsedNetwork {
  network: {
    bridge?: { name?: string };
    ip?: { address?: string; netmask?: string; dhcp?: { host?: { mac?: string; ip?: string }[] } | '' };
  };
}

export function parseNetwork(xml: string): NetworkDocument {
  const { network } = parser.parse(xml) as ParsedNetwork;
  const dhcp = network.ip?.dhcp || undefined;
  const gateway = network.ip?.address ?? '';
  const hosts = (dhcp?.host ?? []).flatMap(({ mac, ip }) => (mac && ip ? [{ mac: mac.toLowerCase(), address: ip }] : []));
  return {
    bridge: network.bridge?.name ?? '',
    gateway,
    netmask: network.ip?.netmask ?? '',
    hosts: hosts.filter(({ address }) => address !== gateway),
  };
}
