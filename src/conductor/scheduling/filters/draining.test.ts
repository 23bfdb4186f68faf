import { describe, expect, it } from '@jest/globals';
import { aNode, aRequest } from '../node-view.fixture.js';
import { drainingFilter } from './draining.js';

describe('the draining filter', () => {
  it('keeps a node that takes VMs', () => {
    expect(drainingFilter.keeps(aNode(1), aRequest(), 1)).toBe(true);
  });

  it('removes a node that is being emptied', () => {
    const draining = aNode(1, { draining: true });
    expect(drainingFilter.keeps(draining, aRequest(), 1)).toBe(false);
    expect(drainingFilter.reason(draining, aRequest(), 1)).toBe('is draining');
    expect(drainingFilter.summary(3, aRequest())).toBe('3 are draining');
  });
});
