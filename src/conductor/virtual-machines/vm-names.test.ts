import { describe, expect, it } from '@jest/globals';
import { memorableName, namesFor, VM_NAME_PATTERN } from './vm-names.js';

describe('the name of a VM', () => {
  it.each(['a', 'A1', '1', 'web-1', 'web_1.example', 'labels-1', 'Labels', 'x'.repeat(50)])('may be %s', (name) => {
    expect(name).toMatch(VM_NAME_PATTERN);
  });

  it.each([
    '', '-a', 'a-', '.a', 'a.', '_a', 'a b', 'a/b', '..', '../a', 'labels', 'ä', 'a\n', '\na', 'a\u0000b', 'a\u202eb', '%2e',
    'x'.repeat(51), '$(id)', 'a;b', '<a>',
  ])('may not be %j', (name) => {
    expect(name).not.toMatch(VM_NAME_PATTERN);
  });

  it('is the one that was asked for when there is one VM, and numbered when there are several', () => {
    expect(namesFor('web', 1)).toEqual(['web']);
    expect(namesFor('web', 3)).toEqual(['web-1', 'web-2', 'web-3']);
  });

  it('is always a valid one when it is assigned, also the twentieth of a series', () => {
    const names = Array.from({ length: 2_000 }, memorableName);
    for (const name of names)
      for (const numbered of [name, ...namesFor(name, 20)]) expect(numbered).toMatch(VM_NAME_PATTERN);
    expect(new Set(names).size).toBeGreaterThan(1_990);
  });
});
