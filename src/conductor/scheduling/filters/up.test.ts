import { describe, expect, it } from '@jest/globals';
import { aNode, aRequest } from '../node-view.fixture.js';
import { upFilter } from './up.js';

describe('the up filter', () => {
  it('keeps a node whose heartbeat is within the lease', () => {
    expect(upFilter.keeps(aNode(1), aRequest(), 1)).toBe(true);
  });

  it('removes a node that is down', () => {
    const down = aNode(1, { up: false });
    expect(upFilter.keeps(down, aRequest(), 1)).toBe(false);
    expect(upFilter.reason(down, aRequest(), 1)).toBe('is down');
    expect(upFilter.summary(1, aRequest())).toBe('1 is down');
  });
});
