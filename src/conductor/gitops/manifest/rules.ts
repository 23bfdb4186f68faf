/** Sets of security rules in one form, so that two of them are equal when they say the same; and as the API takes them. */
import { DEFAULT_RULES, type SecurityRuleSpec } from '../../../protocol/security-rule.js';
import type { CreateSecurityRulePayload } from '../../security-rules/security-rule.dto.js';

/** Sorted and each once. */
export function canonicalRules(rules: readonly SecurityRuleSpec[]): readonly SecurityRuleSpec[] {
  const byText = new Map(
    rules.map(({ direction, ethertype, protocol, remoteIpPrefix, portMin, portMax }) => {
      const ports = portMin === undefined || portMax === undefined ? {} : { portMin, portMax };
      const rule = { direction, ethertype, protocol, remoteIpPrefix, ...ports };
      return [JSON.stringify(rule), rule];
    }),
  );
  return [...byText.keys()].sort().map((text) => byText.get(text)!);
}

/** As the API takes it. */
export const asSent = ({ direction, ethertype, protocol, remoteIpPrefix, portMin, portMax }: SecurityRuleSpec): CreateSecurityRulePayload => ({
  direction,
  ethertype,
  protocol: protocol as CreateSecurityRulePayload['protocol'],
  remote_ip_prefix: remoteIpPrefix,
  port_range_min: portMin ?? null,
  port_range_max: portMax ?? null,
});

const DEFAULTS = new Set(canonicalRules(DEFAULT_RULES).map((rule) => JSON.stringify(rule)));

/** Every machine has it without being asked. */
export const isDefault = (rule: SecurityRuleSpec): boolean => DEFAULTS.has(JSON.stringify(rule));
