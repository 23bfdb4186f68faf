import { describe, expect, it } from '@jest/globals';
import { encodeRelease } from './dhcp-release.js';

describe('a DHCPRELEASE', () => {
  const message = encodeRelease({ server: '192.168.123.1', mac: '52:54:00:ab:cd:ef', address: '192.168.123.2' });

  it('is a request of an Ethernet client that has an address', () => {
    expect([...message.subarray(0, 4)]).toEqual([1, 1, 6, 0]);
    expect([...message.subarray(12, 16)]).toEqual([192, 168, 123, 2]);
    expect(message.toString('hex', 28, 34)).toBe('525400abcdef');
  });

  it('names the server that shall take the address back', () => {
    expect(message.toString('hex', 236)).toBe(['63825363', '350107', '3604c0a87b01', 'ff'].join(''));
  });
});
