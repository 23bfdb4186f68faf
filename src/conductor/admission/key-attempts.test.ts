import { describe, expect, it } from '@jest/globals';
import type { OrganizationId } from '../../protocol/ids.js';
import { KeyAttempts } from './key-attempts.js';

const acme = 1 as OrganizationId;

function exhausted(): KeyAttempts {
  const attempts = new KeyAttempts(() => 0);
  attempts.succeeded('good', acme);
  for (let count = 0; count < 100; count += 1) attempts.failed('10.0.0.1', `wrong-${count}`);
  return attempts;
}

describe('keys that were tried', () => {
  it('are refused from an address that brought too many wrong ones, until later', () => {
    expect(() => exhausted().before('10.0.0.1', 'another')).toThrow('wrong keys');
    expect(() => exhausted().before('10.0.0.2', 'another')).not.toThrow();
  });

  it('are taken from there when they were good before', () => {
    expect(() => exhausted().before('10.0.0.1', 'good')).not.toThrow();
  });

  it('are nobody’s any more once they were refused', () => {
    const attempts = exhausted();
    expect(attempts.holderOf('good')).toBe(acme);
    attempts.failed('10.0.0.2', 'good');
    expect(attempts.holderOf('good')).toBeUndefined();
    expect(() => attempts.before('10.0.0.1', 'good')).toThrow('wrong keys');
  });
});
