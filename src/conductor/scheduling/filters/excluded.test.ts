import { describe, expect, it } from '@jest/globals';
import type { ComputeNodeId } from '../../../protocol/ids.js';
import { aNode, aRequest } from '../node-view.fixture.js';
import { excludedFilter } from './excluded.js';

describe('the excluded filter', () => {
  it('keeps every node when none is excluded', () => {
    expect(excludedFilter.keeps(aNode(1), aRequest(), 1)).toBe(true);
  });

  it('removes only the nodes where the VM has failed', () => {
    const request = aRequest({ excludedNodes: new Set([1 as ComputeNodeId]) });
    expect(excludedFilter.keeps(aNode(1), request, 1)).toBe(false);
    expect(excludedFilter.keeps(aNode(2), request, 1)).toBe(true);
    expect(excludedFilter.reason(aNode(1), request, 1)).toBe('has already failed to start this VM');
    expect(excludedFilter.summary(1, request)).toBe('1 has already failed to start this VM');
  });
});
