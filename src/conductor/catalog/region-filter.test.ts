import { describe, expect, it } from '@jest/globals';
import { unquoted } from './region-filter.js';

describe('the name of a region in a query', () => {
  it('loses the quotes that the Terraform provider puts around it', () => {
    expect(unquoted('"CANADA-1"')).toBe('CANADA-1');
  });

  it.each(['CANADA-1', '"CANADA-1', 'CANADA-1"', 'CANADA"1', '"', ''])('is left alone when it is %s', (name) => {
    expect(unquoted(name)).toBe(name);
  });
});
