/**
 * A security rule as workers get it: what may pass between a VM and the rest of the world. Rules only allow; what no
 * rule allows is dropped, but for replies to what was allowed.
 */
export interface SecurityRuleSpec {
  readonly direction: 'ingress' | 'egress';
  readonly ethertype: 'IPv4' | 'IPv6';
  /** A key of `PROTOCOL_NUMBERS`. */
  readonly protocol: string;
  /** The other end, as CIDR. */
  readonly remoteIpPrefix: string;
  /** Both or none; none means all ports. */
  readonly portMin?: number;
  readonly portMax?: number;
}

/** Infrahub's names of protocols, with the number in the IP header; null where it does not matter. */
export const PROTOCOL_NUMBERS = {
  any: null,
  ah: 51,
  dccp: 33,
  egp: 8,
  esp: 50,
  gre: 47,
  hopopt: 0,
  icmp: 1,
  igmp: 2,
  ip: null,
  ipip: 4,
  'ipv6-encap': 41,
  'ipv6-frag': 44,
  'ipv6-icmp': 58,
  icmpv6: 58,
  'ipv6-nonxt': 59,
  'ipv6-opts': 60,
  'ipv6-route': 43,
  ospf: 89,
  pgm: 113,
  rsvp: 46,
  sctp: 132,
  tcp: 6,
  udp: 17,
  udplite: 136,
  vrrp: 112,
} as const satisfies Record<string, number | null>;

export type ProtocolName = keyof typeof PROTOCOL_NUMBERS;

/** What a VM has from its creation on, until its owner says otherwise: out to anywhere, in from nowhere. */
export const DEFAULT_RULES: readonly SecurityRuleSpec[] = [
  { direction: 'egress', ethertype: 'IPv4', protocol: 'any', remoteIpPrefix: '0.0.0.0/0', portMin: 1, portMax: 65_535 },
  { direction: 'egress', ethertype: 'IPv6', protocol: 'any', remoteIpPrefix: '::/0', portMin: 1, portMax: 65_535 },
];
