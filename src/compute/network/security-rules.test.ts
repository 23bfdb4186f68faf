import { describe, expect, it } from '@jest/globals';
import { DEFAULT_RULES, type SecurityRuleSpec } from '../../protocol/security-rule.js';
import { matchesOf, refuseUnreadable } from './security-rules.js';

const rule = (change: Partial<SecurityRuleSpec> = {}): SecurityRuleSpec => ({
  direction: 'ingress',
  ethertype: 'IPv4',
  protocol: 'tcp',
  remoteIpPrefix: '0.0.0.0/0',
  ...change,
});

describe('security rules on a node', () => {
  it.each([
    [rule({ portMin: 80, portMax: 80 }), 'ip saddr 0.0.0.0/0 tcp dport 80-80'],
    [rule({ remoteIpPrefix: '198.51.100.7/24' }), 'ip saddr 198.51.100.0/24 meta l4proto 6'],
    [rule({ protocol: 'icmp' }), 'ip saddr 0.0.0.0/0 meta l4proto 1'],
    [rule({ protocol: 'any', portMin: 1, portMax: 65_535 }), 'ip saddr 0.0.0.0/0'],
    [rule({ protocol: 'hopopt' }), 'ip saddr 0.0.0.0/0 meta l4proto 0'],
  ])('reads %j as %s', (written, match) => {
    expect(matchesOf([written], 'ingress')).toEqual([match]);
    expect(matchesOf([written], 'egress')).toEqual([]);
  });

  it('lets a VM out, and nobody in, by default', () => {
    expect(matchesOf(DEFAULT_RULES, 'egress')).toEqual(['ip daddr 0.0.0.0/0']);
    expect(matchesOf(DEFAULT_RULES, 'ingress')).toEqual([]);
  });

  it.each([
    { remoteIpPrefix: '0.0.0.0/0 accept; drop' },
    { remoteIpPrefix: '10.0.0.0/33' },
    { remoteIpPrefix: '10.0.0/8' },
    { protocol: 'tcp dport 1 accept' },
    { protocol: 'constructor' },
    { portMin: 0, portMax: 80 },
    { portMin: '1 accept' as unknown as number, portMax: 80 },
  ])('refuses what cannot be a rule: %j', (change) => {
    expect(() => refuseUnreadable([rule(change)])).toThrow(/does not understand/);
  });
});
