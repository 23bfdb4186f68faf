import { describe, expect, it } from '@jest/globals';
import { networkSpec } from './fixed-addresses.js';

describe('the network of a VM', () => {
  it('has the first address of the subnet as its gateway, and a card named after its own', () => {
    expect(networkSpec('10.128.16.0/20', '10.128.31.254')).toEqual({
      address: '10.128.31.254',
      mac: '02:00:0a:80:1f:fe',
      subnet: '10.128.16.0/20',
      gateway: '10.128.16.1',
    });
  });

  it('may begin anywhere in an octet', () => {
    expect(networkSpec('10.128.16.64/28', '10.128.16.66').gateway).toBe('10.128.16.65');
  });
});
