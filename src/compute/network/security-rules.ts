/**
 * Security rules as lines of nftables. Pure; everything that comes over the wire is read and written anew here, so that
 * no text of a message ever becomes part of a rule set as it is.
 *
 * Guests have IPv4 alone: rules for IPv6 have nothing to open and are left out.
 */
import { PROTOCOL_NUMBERS, type ProtocolName, type SecurityRuleSpec } from '../../protocol/security-rule.js';
import { HypervisorError } from '../hypervisor/hypervisor.js';
import { formatAddress, parseAddress } from './subnet.js';

const WITH_PORTS: readonly string[] = ['tcp', 'udp', 'sctp'];

/** The conditions of one direction's rules, one for each line. @throws HypervisorError for a rule that cannot be read. */
export function matchesOf(rules: readonly SecurityRuleSpec[], direction: SecurityRuleSpec['direction']): string[] {
  return rules.filter((rule) => rule.direction === direction && rule.ethertype === 'IPv4').map(matchOf);
}

/** Before they are kept: the table of a node is one, and a rule that cannot be read would keep it from all guests. */
export function refuseUnreadable(rules: readonly SecurityRuleSpec[] = []): void {
  matchesOf(rules, 'ingress');
  matchesOf(rules, 'egress');
}

function matchOf(rule: SecurityRuleSpec): string {
  const remote = `ip ${rule.direction === 'ingress' ? 'saddr' : 'daddr'} ${networkOf(rule.remoteIpPrefix)}`;
  return [remote, protocolOf(rule)].filter(Boolean).join(' ');
}

function protocolOf({ protocol, portMin, portMax }: SecurityRuleSpec): string {
  if (!Object.hasOwn(PROTOCOL_NUMBERS, protocol)) throw unreadable(`protocol ${protocol}`);
  const number = PROTOCOL_NUMBERS[protocol as ProtocolName];
  if (number === null) return '';
  if (!WITH_PORTS.includes(protocol) || portMin === undefined || portMax === undefined) return `meta l4proto ${number}`;
  for (const port of [portMin, portMax])
    if (!Number.isInteger(port) || port < 1 || port > 65_535) throw unreadable(`port ${port}`);
  return `${protocol} dport ${portMin}-${portMax}`;
}

function networkOf(cidr: string): string {
  const [address = '', length = ''] = cidr.split('/');
  const prefix = Number(length);
  if (!/^\d{1,2}$/.test(length) || prefix > 32) throw unreadable(`network ${cidr}`);
  try {
    const size = 2 ** (32 - prefix);
    return `${formatAddress(Math.floor(parseAddress(address) / size) * size)}/${prefix}`;
  } catch (error) {
    if (error instanceof RangeError) throw unreadable(`network ${cidr}`);
    throw error;
  }
}

const unreadable = (what: string): HypervisorError =>
  new HypervisorError(`The compute node does not understand the ${what} of a security rule.`, false);
