/**
 * The node's own nftables table: masquerading, 1:1 translation of floating addresses, and a drop for everything that
 * is routed to a guest without having been translated.
 *
 * The whole table is replaced in one transaction each time, from what the domains say of themselves: there is no
 * moment without rules, and no rule that somebody must remember to take back. Rules of others are never touched.
 * Established connections live in the kernel's connection table and outlast the replacement.
 */
import { runCommand } from '../hypervisor/libvirt/host-command.js';
import type { Subnet } from './subnet.js';

export interface AddressMapping {
  readonly floatingIp: string;
  readonly fixedIp: string;
}

export interface FirewallScope {
  readonly table: string;
  readonly bridge: string;
  readonly subnet: Subnet;
}

const NFT_TIMEOUT_MS = 20_000;

function map(name: string, pairs: readonly (readonly [string, string])[]): string {
  const elements = pairs.map(([key, value]) => `${key} : ${value}`).join(', ');
  return `  map ${name} { type ipv4_addr : ipv4_addr; ${elements && `elements = { ${elements} }; `}}`;
}

/**
 * Hairpin: a guest that talks to a floating address of its own bridge must be translated at both ends, or the answer
 * would go straight to it over the bridge, from an address that it never asked.
 */
export function renderTable({ table, bridge, subnet }: FirewallScope, mappings: readonly AddressMapping[]): string {
  return [
    `table ip ${table} {}`,
    `delete table ip ${table}`,
    `table ip ${table} {`,
    map('floating_to_fixed', mappings.map(({ floatingIp, fixedIp }) => [floatingIp, fixedIp] as const)),
    map('fixed_to_floating', mappings.map(({ floatingIp, fixedIp }) => [fixedIp, floatingIp] as const)),
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
    '  chain routed {',
    '    type filter hook forward priority 10; policy accept;',
    `    oifname "${bridge}" iifname "${bridge}" accept`,
    `    oifname "${bridge}" ct state established,related accept`,
    `    oifname "${bridge}" ct status dnat accept`,
    `    oifname "${bridge}" drop`,
    '  }',
    '}',
    '',
  ].join('\n');
}

export async function replaceTable(scope: FirewallScope, mappings: readonly AddressMapping[]): Promise<void> {
  await runCommand('nft', ['-f', '-'], { input: renderTable(scope, mappings), timeoutMs: NFT_TIMEOUT_MS });
}

export async function deleteTable(table: string): Promise<void> {
  // Declared first, so that a table that is not there can be deleted too.
  await runCommand('nft', ['-f', '-'], {
    input: `table ip ${table} {}\ndelete table ip ${table}\n`,
    timeoutMs: NFT_TIMEOUT_MS,
  });
}
