import { describe, expect, it } from '@jest/globals';
import { aNode, aRequest, withGpus } from '../node-view.fixture.js';
import { gpuAvoidanceWeigher } from './gpu-avoidance.js';
import { score, type PlacementPolicy } from './policies.js';

const gpuNode = aNode(1, withGpus('A100-80G', 4));

describe('the GPU avoidance weigher', () => {
  it('prefers nodes without GPUs for a VM without one', () => {
    expect(gpuAvoidanceWeigher.weigh(aNode(2), aRequest(), 1)).toBe(1);
    expect(gpuAvoidanceWeigher.weigh(gpuNode, aRequest(), 1)).toBe(0);
  });

  it('does not judge nodes for a VM that wants a GPU', () => {
    expect(gpuAvoidanceWeigher.weigh(gpuNode, aRequest({ gpu: { model: 'A100-80G', count: 1 } }), 1)).toBe(1);
  });

  it.each<PlacementPolicy>(['spread', 'pack'])('outweighs how full the nodes are under %s', (policy) => {
    const nearlyFull = { vcpus: 6, memoryMib: 28 * 1024, diskGib: 90 };
    const idle = { vcpus: 0, memoryMib: 0, diskGib: 0 };
    for (const [plainUsed, gpuUsed] of [
      [nearlyFull, idle],
      [idle, nearlyFull],
    ] as const) {
      const plain = score(policy, aNode(2, { used: plainUsed }), aRequest(), 1);
      expect(plain).toBeGreaterThan(score(policy, { ...gpuNode, used: gpuUsed }, aRequest(), 1));
    }
  });
});
