import { describe, expect, it } from '@jest/globals';
import { aNode, aRequest, NORWAY } from '../node-view.fixture.js';
import { regionFilter } from './region.js';

describe('the region filter', () => {
  it('keeps a node of the region', () => {
    expect(regionFilter.keeps(aNode(1), aRequest(), 1)).toBe(true);
  });

  it('removes a node of another region and names the one that is wanted', () => {
    const elsewhere = aNode(1, { regionId: NORWAY });
    expect(regionFilter.keeps(elsewhere, aRequest(), 1)).toBe(false);
    expect(regionFilter.reason(elsewhere, aRequest(), 1)).toBe('is not in region CANADA-1');
    expect(regionFilter.summary(2, aRequest())).toBe('2 are in other regions');
  });
});
