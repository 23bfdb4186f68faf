import { describe, expect, it } from '@jest/globals';
import { checkedRule } from './checked-rule.js';
import type { CreateSecurityRulePayload } from './security-rule.dto.js';

const check = (change: Partial<CreateSecurityRulePayload> = {}) =>
  checkedRule({ direction: 'ingress', ethertype: 'IPv4', protocol: 'tcp', remote_ip_prefix: '0.0.0.0/0', ...change });

describe('a security rule', () => {
  it('keeps what it was given', () => {
    expect(check({ port_range_min: 80, port_range_max: 90 })).toEqual({
      direction: 'ingress',
      ethertype: 'IPv4',
      protocol: 'tcp',
      remoteIpPrefix: '0.0.0.0/0',
      portMin: 80,
      portMax: 90,
    });
  });

  it('takes one port for that port, and none for all', () => {
    expect(check({ port_range_min: 22 })).toMatchObject({ portMin: 22, portMax: 22 });
    expect(check({ port_range_max: 22 })).toMatchObject({ portMin: 22, portMax: 22 });
    expect(check({ port_range_min: null, port_range_max: null })).not.toHaveProperty('portMin');
  });

  it('takes 0 for a port that is not given, where no range can be meant', () => {
    expect(check({ port_range_min: 0, port_range_max: 0 })).not.toHaveProperty('portMin');
    expect(check({ protocol: 'icmp', port_range_min: 0, port_range_max: 0 })).not.toHaveProperty('portMin');
    expect(check({ port_range_min: 22, port_range_max: 0 })).toMatchObject({ portMin: 22, portMax: 22 });
    expect(() => check({ port_range_min: 0, port_range_max: 443 })).toThrow(/ports begin with 1/);
  });

  it.each([
    ['10.1.2.3/8', '10.0.0.0/8', 'IPv4'],
    ['10.1.2.3', '10.1.2.3/32', 'IPv4'],
    ['2001:DB8:0::1/32', '2001:db8::/32', 'IPv6'],
    ['::1', '::1/128', 'IPv6'],
    ['::/0', '::/0', 'IPv6'],
  ] as const)('writes the prefix %s as %s', (written, network, ethertype) => {
    expect(check({ remote_ip_prefix: written, ethertype }).remoteIpPrefix).toBe(network);
  });

  it.each([
    ['10.0.0.0/33', 'IPv4'],
    ['10.0.0/8', 'IPv4'],
    ['010.0.0.1/8', 'IPv4'],
    ['10.0.0.0/8/8', 'IPv4'],
    ['10.0.0.0/', 'IPv4'],
    ['::/0', 'IPv4'],
    ['0.0.0.0/0', 'IPv6'],
    ['fe80::1%eth0/64', 'IPv6'],
    ['::/129', 'IPv6'],
    ['0.0.0.0/0 accept; drop', 'IPv4'],
    ['', 'IPv4'],
  ] as const)('is refused with the prefix %j for %s', (remote_ip_prefix, ethertype) => {
    expect(() => check({ remote_ip_prefix, ethertype })).toThrow(/remote_ip_prefix must be an IPv/);
  });

  it('has ports in their order, and only with protocols that have ports', () => {
    expect(() => check({ port_range_min: 90, port_range_max: 80 })).toThrow(/Exchange them/);
    expect(() => check({ protocol: 'icmp', port_range_min: 8 })).toThrow(/The protocol icmp has no ports/);
    expect(check({ protocol: 'any', port_range_min: 1, port_range_max: 65_535 })).toMatchObject({ protocol: 'any' });
  });
});
