/**
 * What makes sense as a security rule beyond its fields: prefix and ethertype agree, ports go with protocols that have
 * them. Pure. The prefix comes out in its one written form, so that what workers get needs no guessing.
 */
import ipaddr from 'ipaddr.js';
import type { SecurityRuleSpec } from '../../protocol/security-rule.js';
import { badRequest } from '../http/api-error.js';
import type { CreateSecurityRulePayload } from './security-rule.dto.js';

const WITH_PORTS: readonly string[] = ['tcp', 'udp', 'sctp'];
const ALL_PORTS = { min: 1, max: 65_535 };

/** @throws ApiError 400 that says what contradicts what. */
export function checkedRule(payload: CreateSecurityRulePayload): SecurityRuleSpec {
  const { direction, ethertype, protocol } = payload;
  const remoteIpPrefix = checkedPrefix(payload.remote_ip_prefix, ethertype);
  const { min, max } = portsOf(payload);
  if (min === undefined || max === undefined) return { direction, ethertype, protocol, remoteIpPrefix };
  if (min > max) throw badRequest(`port_range_min is ${min}, above port_range_max, which is ${max}. Exchange them.`);
  // All ports together restrict nothing: so Infrahub shows the default rules, which have no protocol either.
  const unrestricted = min === ALL_PORTS.min && max === ALL_PORTS.max;
  if (!WITH_PORTS.includes(protocol) && !unrestricted)
    throw badRequest(`The protocol ${protocol} has no ports. Leave port_range_min and port_range_max out, or use ${WITH_PORTS.join(', ')}.`);
  return { direction, ethertype, protocol, remoteIpPrefix, portMin: min, portMax: max };
}

/** Terraform's provider sends 0 for a port that is not given. From 0 to another, though, may be meant as a range. */
function portsOf({ port_range_min, port_range_max }: CreateSecurityRulePayload): { min?: number; max?: number } {
  if (port_range_min === 0 && port_range_max)
    throw badRequest(`port_range_min is 0, and ports begin with 1. Give both: 1 for all up to ${port_range_max}, or ${port_range_max} for that one.`);
  const min = port_range_min || port_range_max || undefined;
  return { min, max: port_range_max || min };
}

function checkedPrefix(text: string, ethertype: SecurityRuleSpec['ethertype']): string {
  const [address = '', length, ...rest] = text.split('/');
  const kind = ethertype === 'IPv4' ? 'ipv4' : 'ipv6';
  // Of IPv4, ipaddr.js would also take fewer than four parts, and octal ones.
  const wellFormed = kind === 'ipv4' ? ipaddr.IPv4.isValidFourPartDecimal(address) : ipaddr.IPv6.isValid(address) && !address.includes('%');
  const bits = length === undefined ? (kind === 'ipv4' ? 32 : 128) : /^\d{1,3}$/.test(length) ? Number(length) : Infinity;
  if (!wellFormed || rest.length > 0 || bits > (kind === 'ipv4' ? 32 : 128))
    throw badRequest(
      `remote_ip_prefix must be an ${ethertype} network as in ${kind === 'ipv4' ? '198.51.100.0/24' : '2001:db8::/32'}, to go with the ethertype ${ethertype}.`,
    );
  const cidr = `${address}/${bits}`;
  const network = kind === 'ipv4' ? ipaddr.IPv4.networkAddressFromCIDR(cidr) : ipaddr.IPv6.networkAddressFromCIDR(cidr);
  return `${network.toString()}/${bits}`;
}
