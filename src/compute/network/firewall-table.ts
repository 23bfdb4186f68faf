/**
 * The node's own nftables tables: what may pass to and from each guest (security rules), masquerading, 1:1 translation
 * of floating addresses, and, on the bridge, that nobody speaks with another's address.
 *
 * Both tables are replaced whole in one transaction each time, from what the domains say of themselves: there is no
 * moment without rules, and no rule that somebody must remember to take back. Rules of others are never touched.
 * Taps are isolated ports of the bridge, so guests reach each other only through the host, by the same chains as
 * everybody else (see docs/decisions/0010).
 *
 * Of a connection, only packets in its first direction are held against the rules, and each of them is; what answers
 * passes. A rule that is taken away thus ends connections that are open by it.
 */
import { runCommand } from '../hypervisor/libvirt/host-command.js';
import type { SecurityRuleSpec } from '../../protocol/security-rule.js';
import { matchesOf } from './security-rules.js';
import { gatewayOf, macOf, tapOf, type Subnet } from './subnet.js';

/** One guest, as its domain tells of it. */
export interface GuestNetwork {
  readonly vmUuid: string;
  readonly fixedIp: string;
  readonly floatingIp?: string;
  readonly rules: readonly SecurityRuleSpec[];
}

export interface FirewallScope {
  readonly table: string;
  readonly bridge: string;
  readonly subnet: Subnet;
  /** TCP port of the metadata service on the gateway: guests always reach it, and DHCP and DNS there. */
  readonly metadataPort: number;
}

const NFT_TIMEOUT_MS = 20_000;

const elements = (items: readonly string[]): string => (items.length === 0 ? '' : `elements = { ${items.join(', ')} }; `);

const map = (name: string, pairs: readonly (readonly [string, string])[]): string =>
  `  map ${name} { type ipv4_addr : ipv4_addr; ${elements(pairs.map(([key, value]) => `${key} : ${value}`))}}`;

const verdicts = (name: string, guests: readonly GuestNetwork[], chain: (guest: GuestNetwork) => string): string =>
  `  map ${name} { type ipv4_addr : verdict; ${elements(guests.map((guest) => `${guest.fixedIp} : goto ${chain(guest)}`))}}`;

const inbound = ({ fixedIp }: GuestNetwork): string => `to_${fixedIp.replaceAll('.', '_')}`;
const outbound = ({ fixedIp }: GuestNetwork): string => `from_${fixedIp.replaceAll('.', '_')}`;

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
 * Hairpin: a guest that talks to a floating address of its own bridge must be translated at both ends, or the answer
 * would go straight to it over the bridge, from an address that it never asked.
 *
 * What the host sends is told by its destination, not by the bridge: one that was just translated still bears the
 * interface it was first meant for. The bridge would tell guests to talk to each other directly (redirect), which they
 * cannot.
 */
export function renderTable({ table, bridge, subnet, metadataPort }: FirewallScope, guests: readonly GuestNetwork[]): string {
  const gateway = gatewayOf(subnet);
  const floating = guests.flatMap(({ floatingIp, fixedIp }) => (floatingIp ? [[floatingIp, fixedIp] as const] : []));
  return [
    `table ip ${table} {}`,
    `delete table ip ${table}`,
    `table ip ${table} {`,
    map('floating_to_fixed', floating),
    map('fixed_to_floating', floating.map(([floatingIp, fixedIp]) => [fixedIp, floatingIp] as const)),
    ...guests.flatMap(guestChains),
    verdicts('guests_reached', guests, inbound),
    verdicts('guests_sending', guests, outbound),
    '  chain inbound {',
    '    type nat hook prerouting priority -110; policy accept;',
    '    dnat to ip daddr map @floating_to_fixed',
    '  }',
    '  chain from_host {',
    '    type nat hook output priority -110; policy accept;',
    '    dnat to ip daddr map @floating_to_fixed',
    '  }',
    '  chain outbound {',
    '    type nat hook postrouting priority 90; policy accept;',
    `    oifname "${bridge}" ip saddr ${subnet.cidr} ct status dnat snat to ip saddr map @fixed_to_floating`,
    `    oifname "${bridge}" ip saddr ${subnet.cidr} ct status dnat masquerade`,
    `    oifname != "${bridge}" snat to ip saddr map @fixed_to_floating`,
    `    oifname != "${bridge}" ip saddr ${subnet.cidr} masquerade`,
    '  }',
    '  chain to_guests {',
    `    ip daddr ${gateway} return`,
    '    ct state established ct direction reply accept',
    '    ct state related accept',
    `    ip saddr ${gateway} udp sport 67 udp dport 68 accept`,
    '    ip daddr vmap @guests_reached',
    '    drop',
    '  }',
    '  chain from_guests {',
    '    ct state established ct direction reply return',
    '    ct state related return',
    '    udp sport 68 udp dport 67 return',
    `    ip daddr ${gateway} udp dport 53 return`,
    `    ip daddr ${gateway} tcp dport { 53, ${metadataPort} } return`,
    '    ip saddr vmap @guests_sending',
    '    drop',
    '  }',
    '  chain routed {',
    '    type filter hook forward priority 10; policy accept;',
    `    iifname "${bridge}" jump from_guests`,
    `    oifname "${bridge}" iifname "${bridge}" goto to_guests`,
    `    oifname "${bridge}" ct direction reply goto to_guests`,
    `    oifname "${bridge}" ct state related goto to_guests`,
    `    oifname "${bridge}" ct status dnat goto to_guests`,
    `    oifname "${bridge}" drop`,
    '  }',
    '  chain to_host {',
    '    type filter hook input priority 10; policy accept;',
    `    iifname "${bridge}" jump from_guests`,
    '  }',
    '  chain by_host {',
    '    type filter hook output priority 10; policy accept;',
    `    ip saddr ${gateway} icmp type redirect drop`,
    `    ip daddr ${subnet.cidr} jump to_guests`,
    '  }',
    '}',
    ...renderBridgeTable(table, guests),
    '',
  ].join('\n');
}

/** A guest has IPv4 from its own card and address alone; before it has an address, it may ask for one. */
function renderBridgeTable(table: string, guests: readonly GuestNetwork[]): string[] {
  const cards = guests.map(({ vmUuid }) => `"${tapOf(vmUuid)}" . ${macOf(vmUuid)}`);
  return [
    `table bridge ${table} {}`,
    `delete table bridge ${table}`,
    `table bridge ${table} {`,
    `  set taps { type ifname; ${elements(guests.map(({ vmUuid }) => `"${tapOf(vmUuid)}"`))}}`,
    `  set cards { type ifname . ether_addr; ${elements(cards)}}`,
    `  set addresses { type ifname . ipv4_addr; ${elements(guests.map((g) => `"${tapOf(g.vmUuid)}" . ${g.fixedIp}`))}}`,
    '  chain arriving {',
    '    type filter hook prerouting priority -250; policy accept;',
    '    iifname @taps goto from_guest',
    '  }',
    '  chain from_guest {',
    '    iifname . ether saddr != @cards drop',
    '    ether type arp iifname . arp saddr ether != @cards drop',
    '    ether type arp arp saddr ip 0.0.0.0 accept',
    '    ether type arp iifname . arp saddr ip @addresses accept',
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
