import { describe, expect, it } from '@jest/globals';
import { readQueryBoolean } from './query-boolean.js';

describe('a boolean in the query', () => {
  it.each(['true', 'True', 'TRUE', '1', ''])('is true as %p', (text) => expect(readQueryBoolean(text)).toBe(true));
  it.each(['false', 'False', '0'])('is false as %p', (text) => expect(readQueryBoolean(text)).toBe(false));
  it.each(['yes', 'perhaps', '2', ' true'])('is left for the validation to refuse as %p', (text) =>
    expect(readQueryBoolean(text)).toBe(text),
  );
  it('is left for the validation to refuse when it is there twice', () => {
    expect(readQueryBoolean(['true', 'true'])).toEqual(['true', 'true']);
  });
});
