import { describe, expect, it } from '@jest/globals';
import { aNode, aRequest } from '../node-view.fixture.js';
import { freeShare } from './free-share.js';

describe('the free share', () => {
  it('is that of the scarcest resource, with the VM on the node', () => {
    const node = aNode(1, { used: { vcpus: 0, memoryMib: 20 * 1024, diskGib: 0 } });
    expect(freeShare(node, aRequest(), 1)).toBe(0.25);
  });

  it('counts every VM of the call', () => {
    expect(freeShare(aNode(1), aRequest(), 3)).toBe(0.25);
  });

  it('is a number for a node that has none of a resource', () => {
    const diskless = aNode(1, { capacity: { vcpus: 8, memoryMib: 32768, diskGib: 0 } });
    expect(freeShare(diskless, aRequest({ diskGib: 0 }), 1)).toBe(0.75);
  });
});
