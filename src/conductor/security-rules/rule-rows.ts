/** Security rules as rows, of a VM or of a firewall alike. The caller holds the lock of the owner. */
import type { EntityManager } from 'typeorm';
import type { SecurityRuleSpec } from '../../protocol/security-rule.js';
import type { SecurityRuleRow } from './security-rule.dto.js';

/** Exactly one of the two. */
export type RuleOwner = { readonly virtual_machine_id: number } | { readonly firewall_id: number };

const ownerOf = (owner: RuleOwner): [column: string, id: number] =>
  'firewall_id' in owner ? ['firewall_id', owner.firewall_id] : ['virtual_machine_id', owner.virtual_machine_id];

const columnsOf = (rule: SecurityRuleSpec): unknown[] => [
  rule.direction,
  rule.ethertype,
  rule.protocol,
  rule.remoteIpPrefix,
  rule.portMin ?? null,
  rule.portMax ?? null,
];

/** How many rules the owner has, and the id of one that says the same. */
export async function sameRule(
  transaction: EntityManager,
  owner: RuleOwner,
  rule: SecurityRuleSpec,
): Promise<{ count: number; same: number | null }> {
  const [column, id] = ownerOf(owner);
  const [row] = await transaction.query<[{ count: number; same: number | null }]>(
    `SELECT count(*)::int AS count, min(id) FILTER (
              WHERE (direction, ethertype, protocol, remote_ip_prefix) = ($2, $3, $4, $5)
                AND port_range_min IS NOT DISTINCT FROM $6::int AND port_range_max IS NOT DISTINCT FROM $7::int) AS same
       FROM security_rule WHERE ${column} = $1`,
    [id, ...columnsOf(rule)],
  );
  return row;
}

export async function insertRule(
  transaction: EntityManager,
  owner: RuleOwner,
  rule: SecurityRuleSpec,
  generation = 1,
): Promise<SecurityRuleRow> {
  const [column, id] = ownerOf(owner);
  const [row] = await transaction.query<[SecurityRuleRow]>(
    `INSERT INTO security_rule (${column}, direction, ethertype, protocol, remote_ip_prefix, port_range_min, port_range_max, generation)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
     RETURNING id, direction, ethertype, protocol, remote_ip_prefix, port_range_min, port_range_max, created_at`,
    [id, ...columnsOf(rule), generation],
  );
  return row;
}
