/**
 * The node's own nftables tables: what may pass to and from each guest (security rules), nothing between environments,
 * masquerading, 1:1 translation of floating addresses, and, on the bridges, that nobody speaks with another's address.
 *
 * Both tables are replaced whole in one transaction each time, from what the domains say of themselves: there is no
 * moment without rules, and no rule that somebody must remember to take back. Rules of others are never touched.
 * Taps are isolated ports of their bridge, so guests reach each other only through the host, by the same chains as
 * everybody else (see docs/decisions/0010).
 *
 * A table speaks of its own node's guests alone, by their addresses: other workers of the host have guests on the same
 * bridges, and tables of their own that judge the same packets.
 *
 * Of a connection, only packets in its first direction are held against the rules, and each of them is; what answers
 * passes. A rule that is taken away thus ends connections that are open by it.
 */
import { runCommand } from '../hypervisor/libvirt/host-command.js';
import type { NetworkSpec } from '../../protocol/network.js';
import type { SecurityRuleSpec } from '../../protocol/security-rule.js';
import { matchesOf } from './security-rules.js';
import { ANY_BRIDGE, bridgeOf, tapOf } from './subnet.js';

/** One guest, as its domain tells of it. */
export interface GuestNetwork {
  readonly vmUuid: string;
  readonly network: NetworkSpec;
  readonly floatingIp?: string;
  readonly rules: readonly SecurityRuleSpec[];
}

export interface FirewallScope {
  readonly table: string;
  /** Where guests fetch their metadata: they always reach it, and DHCP and DNS on their gateway. */
  readonly metadataAddress: string;
  readonly metadataPort: number;
}

/** Where programs in guests look for OpenStack's metadata. The host may have one of its own there, for itself. */
const OPENSTACK_METADATA = '169.254.169.254';

const NFT_TIMEOUT_MS = 20_000;

const elements = (items: readonly string[]): string => (items.length === 0 ? '' : `elements = { ${items.join(', ')} }; `);

const map = (name: string, pairs: readonly (readonly [string, string])[]): string =>
  `  map ${name} { type ipv4_addr : ipv4_addr; ${elements(pairs.map(([key, value]) => `${key} : ${value}`))}}`;

const verdicts = (name: string, guests: readonly GuestNetwork[], chain: (guest: GuestNetwork) => string): string =>
  `  map ${name} { type ipv4_addr : verdict; ${elements(guests.map((guest) => `${guest.network.address} : goto ${chain(guest)}`))}}`;

const distinct = (items: readonly string[]): string[] => [...new Set(items)];

const inbound = ({ network }: GuestNetwork): string => `to_${network.address.replaceAll('.', '_')}`;
const outbound = ({ network }: GuestNetwork): string => `from_${network.address.replaceAll('.', '_')}`;

/** Going out, `return` leads on: a packet to another guest of the node meets that one's rules too. */
function guestChains(guest: GuestNetwork): string[] {
  return [
    `  chain ${inbound(guest)} {`,
    ...matchesOf(guest.rules, 'ingress').map((match) => `    ${match} accept`),
    '    drop',
    '  }',
    `  chain ${outbound(guest)} {`,
    ...matchesOf(guest.rules, 'egress').map((match) => `    ${match} return`),
    '    drop',
    '  }',
  ];
}

/**
 * Between two environments nothing passes but what was meant for a floating address: `same_bridge` has each bridge with
 * itself alone.
 *
 * Hairpin: a guest that talks to a floating address behind the same host must be translated at both ends, or the answer
 * would go straight to it, from an address that it never asked.
 *
 * What the host sends is told by its destination, not by the bridge: one that was just translated still bears the
 * interface it was first meant for. It would tell guests to talk to each other directly (redirect), which they cannot.
 */
export function renderTable({ table, metadataAddress, metadataPort }: FirewallScope, guests: readonly GuestNetwork[]): string {
  const floating = guests.flatMap(({ floatingIp, network }) => (floatingIp ? [[floatingIp, network.address] as const] : []));
  const bridges = distinct(guests.map(({ network }) => `"${bridgeOf(network.subnet)}"`));
  const gateways = distinct(guests.map(({ network }) => `"${bridgeOf(network.subnet)}" . ${network.gateway}`));
  return [
    `table ip ${table} {}`,
    `delete table ip ${table}`,
    `table ip ${table} {`,
    `  set guests { type ipv4_addr; ${elements(guests.map(({ network }) => network.address))}}`,
    `  set same_bridge { type ifname . ifname; ${elements(bridges.map((bridge) => `${bridge} . ${bridge}`))}}`,
    `  set gateway_addresses { type ipv4_addr; ${elements(distinct(guests.map(({ network }) => network.gateway)))}}`,
    `  set gateways { type ifname . ipv4_addr; ${elements(gateways)}}`,
    map('floating_to_fixed', floating),
    map('fixed_to_floating', floating.map(([floatingIp, fixedIp]) => [fixedIp, floatingIp] as const)),
    ...guests.flatMap(guestChains),
    verdicts('guests_reached', guests, inbound),
    verdicts('guests_sending', guests, outbound),
    '  chain inbound {',
    '    type nat hook prerouting priority -110; policy accept;',
    `    iifname "${ANY_BRIDGE}" ip saddr @guests ip daddr ${OPENSTACK_METADATA} tcp dport 80 dnat to ${metadataAddress}:${metadataPort}`,
    '    dnat to ip daddr map @floating_to_fixed',
    '  }',
    '  chain from_host {',
    '    type nat hook output priority -110; policy accept;',
    '    dnat to ip daddr map @floating_to_fixed',
    '  }',
    '  chain outbound {',
    '    type nat hook postrouting priority 90; policy accept;',
    `    oifname "${ANY_BRIDGE}" ip saddr @guests ct status dnat snat to ip saddr map @fixed_to_floating`,
    `    oifname "${ANY_BRIDGE}" ip saddr @guests ct status dnat masquerade`,
    `    oifname != "${ANY_BRIDGE}" snat to ip saddr map @fixed_to_floating`,
    `    oifname != "${ANY_BRIDGE}" ip saddr @guests masquerade`,
    '  }',
    '  chain to_guests {',
    '    ct state established ct direction reply accept',
    '    ct state related accept',
    '    ip saddr @gateway_addresses udp sport 67 udp dport 68 accept',
    '    ip daddr vmap @guests_reached',
    '    drop',
    '  }',
    '  chain from_guests {',
    '    ct state established ct direction reply return',
    '    ct state related return',
    '    iifname . ip daddr @gateways udp dport { 53, 67 } return',
    '    iifname . ip daddr @gateways tcp dport 53 return',
    `    ip daddr ${metadataAddress} tcp dport ${metadataPort} return`,
    '    ip saddr vmap @guests_sending',
    '    drop',
    '  }',
    '  chain arriving {',
    '    ct direction reply goto to_guests',
    '    ct state related goto to_guests',
    '    ct status dnat goto to_guests',
    '    iifname . oifname @same_bridge goto to_guests',
    '    drop',
    '  }',
    '  chain routed {',
    '    type filter hook forward priority 10; policy accept;',
    `    iifname "${ANY_BRIDGE}" ip saddr @guests jump from_guests`,
    '    ip daddr @guests goto arriving',
    '  }',
    '  chain to_host {',
    '    type filter hook input priority 10; policy accept;',
    `    iifname != "${ANY_BRIDGE}" iifname != "lo" ip daddr ${metadataAddress} drop`,
    `    iifname "${ANY_BRIDGE}" ip daddr @gateway_addresses iifname . ip daddr != @gateways drop`,
    `    iifname "${ANY_BRIDGE}" ip saddr @guests jump from_guests`,
    '  }',
    '  chain by_host {',
    '    type filter hook output priority 10; policy accept;',
    '    icmp type redirect ip daddr @guests drop',
    '    ip daddr @guests jump to_guests',
    '  }',
    '}',
    ...renderBridgeTable(table, guests),
    '',
  ].join('\n');
}

/**
 * A guest has IPv4 from its own card and address alone; before it has an address, it may ask for one. It answers nobody
 * who asks for one (no DHCP server), and announces no router (nothing but IPv4 and its ARP).
 */
function renderBridgeTable(table: string, guests: readonly GuestNetwork[]): string[] {
  const taps = guests.map(({ vmUuid, network }) => ({ ...network, tap: `"${tapOf(vmUuid)}"` }));
  return [
    `table bridge ${table} {}`,
    `delete table bridge ${table}`,
    `table bridge ${table} {`,
    `  set taps { type ifname; ${elements(taps.map(({ tap }) => tap))}}`,
    `  set cards { type ifname . ether_addr; ${elements(taps.map(({ tap, mac }) => `${tap} . ${mac}`))}}`,
    `  set addresses { type ifname . ipv4_addr; ${elements(taps.map(({ tap, address }) => `${tap} . ${address}`))}}`,
    '  chain arriving {',
    '    type filter hook prerouting priority -250; policy accept;',
    '    iifname @taps goto from_guest',
    '  }',
    '  chain from_guest {',
    '    iifname . ether saddr != @cards drop',
    '    ether type arp iifname . arp saddr ether != @cards drop',
    '    ether type arp arp saddr ip 0.0.0.0 accept',
    '    ether type arp iifname . arp saddr ip @addresses accept',
    '    ether type ip udp sport 67 counter drop',
    '    ether type ip ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept',
    '    ether type ip iifname . ip saddr @addresses accept',
    '    drop',
    '  }',
    '}',
  ];
}

export async function replaceTable(scope: FirewallScope, guests: readonly GuestNetwork[]): Promise<void> {
  await runCommand('nft', ['-f', '-'], { input: renderTable(scope, guests), timeoutMs: NFT_TIMEOUT_MS });
}

export async function deleteTable(table: string): Promise<void> {
  // Declared first, so that a table that is not there can be deleted too.
  const both = ['ip', 'bridge'].map((family) => `table ${family} ${table} {}\ndelete table ${family} ${table}\n`);
  await runCommand('nft', ['-f', '-'], { input: both.join(''), timeoutMs: NFT_TIMEOUT_MS });
}
