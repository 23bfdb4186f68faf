import { expect, it } from '@jest/globals';
import { aNode, aRequest } from '../node-view.fixture.js';
import { spreadWeigher } from './spread.js';

it('the spread weigher prefers the emptier node', () => {
  const busy = aNode(2, { used: { vcpus: 4, memoryMib: 4096, diskGib: 10 } });
  expect(spreadWeigher.weigh(aNode(1), aRequest(), 1)).toBeGreaterThan(spreadWeigher.weigh(busy, aRequest(), 1));
});
