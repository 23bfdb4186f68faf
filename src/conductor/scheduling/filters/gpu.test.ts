import { describe, expect, it } from '@jest/globals';
import { aNode, aRequest, withGpus } from '../node-view.fixture.js';
import { gpuFilter } from './gpu.js';

const request = aRequest({ gpu: { model: 'A100-80G', count: 2 } });

describe('the GPU filter', () => {
  it('keeps any node for a VM without a GPU', () => {
    expect(gpuFilter.keeps(aNode(1), aRequest(), 1)).toBe(true);
  });

  it('keeps a node with exactly as many free of the model as are wanted', () => {
    expect(gpuFilter.keeps(aNode(1, withGpus('A100-80G', 4, 2)), request, 1)).toBe(true);
  });

  it('removes a node that has only another model', () => {
    const other = aNode(1, withGpus('H100-80G', 8));
    expect(gpuFilter.keeps(other, request, 1)).toBe(false);
    expect(gpuFilter.reason(other, request, 1)).toBe('has no A100-80G');
  });

  it('removes a node whose GPUs are taken and says how many are free', () => {
    const busy = aNode(1, withGpus('A100-80G', 4, 3));
    expect(gpuFilter.keeps(busy, request, 1)).toBe(false);
    expect(gpuFilter.reason(busy, request, 1)).toBe('has 1 of 4 A100-80G free');
    expect(gpuFilter.missing(busy, request, 1)).toBe('1 × A100-80G');
    expect(gpuFilter.shortfall(busy, request, 1)).toBe(0.5);
    expect(gpuFilter.summary(2, request)).toBe('2 lack 2 × A100-80G');
  });

  it('counts the VMs that the call has already put on the node', () => {
    const node = aNode(1, withGpus('A100-80G', 4));
    expect(gpuFilter.keeps(node, request, 2)).toBe(true);
    expect(gpuFilter.keeps(node, request, 3)).toBe(false);
  });
});
