import { describe, expect, it } from '@jest/globals';
import { bridgeOf, netmaskOf, parseSubnet, tapOf } from './subnet.js';

describe('a subnet', () => {
  it('has a netmask, also across octets', () => {
    expect(netmaskOf('10.128.16.0/20')).toBe('255.255.240.0');
    expect(netmaskOf('172.16.0.0/12')).toBe('255.240.0.0');
  });

  it.each(['192.168.123.0', '192.168.123.1/24', '192.168.123.0/30', '10.0.0.0/7', '300.0.0.0/8', '1.2.3/24', 'x/24', '10.0.0.0/1e1'])(
    'cannot be %s',
    (cidr) => expect(() => parseSubnet(cidr)).toThrow(RangeError),
  );
});

describe('the name of an interface', () => {
  it('fits the kernel and tells one environment, and one VM, from another', () => {
    const names = [bridgeOf('10.128.0.0/20'), bridgeOf('10.128.16.0/20'), bridgeOf('255.255.240.0/20'), tapOf('one'), tapOf('two')];
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(name.length).toBeLessThanOrEqual(15);
    expect(names[0]).toBe('benv-0a800000');
  });
});
