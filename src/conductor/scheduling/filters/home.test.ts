import { describe, expect, it } from '@jest/globals';
import type { ComputeNodeId } from '../../../protocol/ids.js';
import { aNode, aRequest } from '../node-view.fixture.js';
import { homeFilter } from './home.js';

describe('the home filter', () => {
  it('keeps every node for a VM that can start anywhere', () => {
    expect(homeFilter.keeps(aNode(1), aRequest(), 1)).toBe(true);
  });

  it('keeps only the node that has the snapshot', () => {
    const request = aRequest({ home: 2 as ComputeNodeId });
    expect(homeFilter.keeps(aNode(2), request, 1)).toBe(true);
    expect(homeFilter.keeps(aNode(1), request, 1)).toBe(false);
    expect(homeFilter.reason(aNode(1), request, 1)).toBe('does not have the snapshot');
    expect(homeFilter.summary(3, request)).toBe('3 do not have the snapshot');
  });
});
