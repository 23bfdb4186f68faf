/**
 * Which IP addresses a connection that a user asked for may go to. Default is deny: only global unicast addresses pass,
 * and what the operator opened by BATON_EGRESS_ALLOW. Addresses that carry another one inside (IPv4-mapped, 6to4,
 * Teredo, NAT64) are refused even if the inner one is public, because what they lead to is decided by somebody else.
 *
 * Pure: no name is resolved here and nothing connects.
 */
import ipaddr from 'ipaddr.js';
import { isIP } from 'node:net';

type Address = ipaddr.IPv4 | ipaddr.IPv6;
type Range = [Address, number];

/** Everything that IANA hands out to the public internet; the special ranges within it are left to ipaddr.js. */
const GLOBAL_IPV6 = ipaddr.IPv6.parseCIDR('2000::/3');

export class AddressRanges {
  private readonly allowed: readonly Range[];

  /** @throws if one of the ranges is not in CIDR notation. */
  constructor(allowed: readonly string[]) {
    this.allowed = allowed.map((range) => {
      if (!ipaddr.isValidCIDR(range)) throw new Error(`'${range}' is not an address range such as 10.0.0.0/8.`);
      return ipaddr.parseCIDR(range);
    });
  }

  /** `address` as a resolver or a normalized URL gives it; anything else is refused. */
  permits(address: string): boolean {
    // Stricter than ipaddr.js, which also reads 1.2.3 and 0x7f.1 as addresses.
    if (isIP(address) === 0) return false;
    const parsed = ipaddr.parse(address);
    return this.isAllowed(parsed) || isPublic(parsed);
  }

  private isAllowed(address: Address): boolean {
    const plain = address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress() ? address.toIPv4Address() : address;
    return this.allowed.some(([network, bits]) => network.kind() === plain.kind() && plain.match(network, bits));
  }
}

function isPublic(address: Address): boolean {
  return address.range() === 'unicast' && (address instanceof ipaddr.IPv4 || address.match(GLOBAL_IPV6));
}
