import { describe, expect, it } from '@jest/globals';
import { misshapenEnvironmentName, refusedEnvironmentName, RESERVED_ENVIRONMENT_NAMES } from './environment-name.js';

describe('the name of an environment', () => {
  it.each(['demo', 'default-CANADA-1', 'a', '7seas', 'v1.2_test', 'x'.repeat(50)])('may be %s', (name) => {
    expect(misshapenEnvironmentName(name)).toBeUndefined();
    expect(refusedEnvironmentName(name)).toBeUndefined();
  });

  it.each([
    ['empty', ''],
    ['too long', 'x'.repeat(51)],
    ['a way up the path', '../secrets'],
    ['hidden', '.hidden'],
    ['with a slash', 'a/b'],
    ['with a space', 'a b'],
    ['with a line break at the end', 'demo\n'],
    ['with NUL', 'de\0mo'],
    ['with an accent', 'démo'],
  ])('may not be %s', (_, name) => {
    expect(misshapenEnvironmentName(name)).toMatch(/letters, digits/);
  });

  it('may not be mistaken for an id', () => {
    expect(refusedEnvironmentName('42')).toMatch(/taken for an id/);
  });

  it.each([...RESERVED_ENVIRONMENT_NAMES, 'Labels'])('may not be the path word %s', (name) => {
    expect(refusedEnvironmentName(name)).toMatch(/part of the API's paths/);
  });
});
