/**
 * The libvirt document of an environment's network on this host: written once when the network is made, read to learn
 * who is on it. Its static host entries make DHCP give each guest the address that the conductor has assigned.
 */
import { XMLParser } from 'fast-xml-parser';
import type { NetworkSpec } from '../../protocol/network.js';
import { renderXml, type XmlTree } from '../hypervisor/libvirt/xml.js';
import { bridgeOf, netmaskOf } from './subnet.js';

const DNSMASQ = 'http://libvirt.org/schemas/network/dnsmasq/1.0';
const LEASE_MINUTES = 10;

export interface HostEntry {
  readonly mac: string;
  readonly address: string;
}

const PREFIX = 'baton-';

/** Of the environment and not of a node: workers that share a host share its networks. */
export const networkName = (subnet: string): string => `${PREFIX}${subnet.replace('/', '-')}`;

/** @returns undefined for a network that is no environment's. */
export function subnetNamed(name: string): string | undefined {
  const [, address, prefix] = /^baton-(\d+\.\d+\.\d+\.\d+)-(\d+)$/.exec(name) ?? [];
  return address && `${address}/${prefix}`;
}

/**
 * libvirt runs the DHCP server only while the network has a host entry, and starts it anew, in two seconds, for the
 * first one that comes and after the last one that goes. This one is always there: a machine that does not exist, with
 * the address that no guest can have.
 */
const placeholder = (gateway: string): XmlTree => ({ '@mac': '02:00:00:00:00:00', '@ip': gateway });

/**
 * Forward mode `open`: libvirt adds no firewall rules of its own, which would stand in the way of floating addresses.
 * Without `stp off`, `delay 0` and `no-ping` each boot waits seconds for its first packet and its address.
 */
export function networkXml({ subnet, gateway }: Pick<NetworkSpec, 'subnet' | 'gateway'>): string {
  return renderXml({
    network: {
      '@xmlns:dnsmasq': DNSMASQ,
      name: networkName(subnet),
      forward: { '@mode': 'open' },
      bridge: { '@name': bridgeOf(subnet), '@stp': 'off', '@delay': '0' },
      ip: { '@address': gateway, '@netmask': netmaskOf(subnet), dhcp: { host: placeholder(gateway) } },
      'dnsmasq:options': { 'dnsmasq:option': { '@value': 'no-ping' } },
    },
  });
}

/** A short lease: what the DHCP server remembers of a VM that could not be asked to forget it soon runs out. */
export function hostEntryXml(entry: HostEntry): string {
  const lease = { '@expiry': String(LEASE_MINUTES), '@unit': 'minutes' };
  return renderXml({ host: { '@mac': entry.mac, '@ip': entry.address, lease } });
}

const parser = new XMLParser({ ignoreAttributes: false, attributeNamePrefix: '', isArray: (name) => name === 'host' });

interface ParsedNetwork {
  network: { ip?: { address?: string; dhcp?: { host?: { mac?: string; ip?: string }[] } | '' } };
}

const parse = (xml: string) => (parser.parse(xml) as Partial<ParsedNetwork>).network?.ip;

export const gatewayIn = (xml: string): string => parse(xml)?.address ?? '';

/** The guests that have a place on the network. */
export function hostEntries(xml: string): readonly HostEntry[] {
  const ip = parse(xml);
  const dhcp = ip?.dhcp || undefined;
  const entries = (dhcp?.host ?? []).flatMap(({ mac, ip: address }) => (mac && address ? [{ mac: mac.toLowerCase(), address }] : []));
  return entries.filter(({ address }) => address !== ip?.address);
}
