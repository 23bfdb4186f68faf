import { expect, it } from '@jest/globals';
import { aNode, aRequest } from '../node-view.fixture.js';
import { packWeigher } from './pack.js';

it('the pack weigher prefers the fuller node', () => {
  const busy = aNode(2, { used: { vcpus: 4, memoryMib: 4096, diskGib: 10 } });
  expect(packWeigher.weigh(aNode(1), aRequest(), 1)).toBeLessThan(packWeigher.weigh(busy, aRequest(), 1));
});
