import { describe, expect, it } from '@jest/globals';
import { firstFreeAddress, gatewayOf, macOf, netmaskOf, parseSubnet } from './subnet.js';

describe('the addresses of a subnet', () => {
  const subnet = parseSubnet('192.168.123.0/29');

  it('leave out the network, the gateway and the broadcast address', () => {
    const taken = new Set<string>();
    const given: string[] = [];
    for (let free = firstFreeAddress(subnet, taken); free; free = firstFreeAddress(subnet, taken)) {
      given.push(free);
      taken.add(free);
    }
    expect(given).toEqual([2, 3, 4, 5, 6].map((last) => `192.168.123.${last}`));
  });

  it('are given again once they are free', () => {
    expect(firstFreeAddress(subnet, new Set(['192.168.123.2', '192.168.123.4']))).toBe('192.168.123.3');
  });

  it('cross octets', () => {
    const large = parseSubnet('172.16.0.0/12');
    expect(gatewayOf(large)).toBe('172.16.0.1');
    expect(netmaskOf(large)).toBe('255.240.0.0');
    const first = new Set(Array.from({ length: 256 }, (_, last) => `172.16.0.${last}`));
    expect(firstFreeAddress(large, first)).toBe('172.16.1.0');
  });

  it.each(['192.168.123.0', '192.168.123.1/24', '192.168.123.0/30', '10.0.0.0/7', '300.0.0.0/8', '1.2.3/24', 'x/24', '10.0.0.0/1e1'])(
    'cannot be had from %s',
    (cidr) => expect(() => parseSubnet(cidr)).toThrow(RangeError),
  );
});

describe('the MAC of a VM', () => {
  it('is the same each time, unicast, and another for another VM', () => {
    const mac = macOf('6f9619ff-8b86-4d01-b42d-00cf4fc964ff');
    expect(mac).toMatch(/^52:54:00(:[0-9a-f]{2}){3}$/);
    expect(macOf('6f9619ff-8b86-4d01-b42d-00cf4fc964ff')).toBe(mac);
    expect(macOf('6f9619ff-8b86-4d01-b42d-00cf4fc964fe')).not.toBe(mac);
  });
});
