/** From the rules that there are to those that are declared, of a firewall or of a machine. */
import type { SecurityRuleSpec } from '../../../protocol/security-rule.js';
import type { CreateSecurityRulePayload } from '../../security-rules/security-rule.dto.js';
import { asSent, canonicalRules } from '../manifest/rules.js';

export type PresentRule = CreateSecurityRulePayload & { readonly id: number };

export interface RuleTarget {
  readonly present: readonly PresentRule[];
  add(rule: CreateSecurityRulePayload): Promise<unknown>;
  remove(id: number): Promise<unknown>;
}

/** First those that are to come, then those that go: what passes before and after is never cut off between. */
export async function setRules(declared: readonly SecurityRuleSpec[], { present, add, remove }: RuleTarget): Promise<void> {
  const wanted = new Map(declared.map((rule) => [JSON.stringify(rule), rule]));
  const surplus = present.filter((rule) => !wanted.delete(textOf(rule)));
  for (const rule of wanted.values()) await add(asSent(rule));
  for (const { id } of surplus) await remove(id);
}

function textOf({ direction, ethertype, protocol, remote_ip_prefix, port_range_min, port_range_max }: PresentRule): string {
  const ports = typeof port_range_min !== 'number' || typeof port_range_max !== 'number' ? {} : { portMin: port_range_min, portMax: port_range_max };
  return JSON.stringify(canonicalRules([{ direction, ethertype, protocol, remoteIpPrefix: remote_ip_prefix, ...ports }])[0]);
}
