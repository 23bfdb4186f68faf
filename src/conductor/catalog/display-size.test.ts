import { describe, expect, it } from '@jest/globals';
import { displaySize } from './display-size.js';

describe('the size of an image, as people read it', () => {
  it.each([
    [0, '0 B'],
    [512, '512 B'],
    [48 * 1024 ** 2, '48 MiB'],
    [1.5 * 1024 ** 3, '1.5 GiB'],
    [25 * 1024 ** 3, '25 GiB'],
    [5000 * 1024 ** 4, '5000 TiB'],
  ])('of %d bytes is %s', (bytes, text) => {
    expect(displaySize(bytes)).toBe(text);
  });
});
