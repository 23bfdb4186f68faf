import { describe, expect, it } from '@jest/globals';
import { lastLines, storableText } from './console-text.js';

describe('the last lines of a console', () => {
  it.each([
    ['a\nb\nc\n', 2, 'b\nc\n'],
    ['a\nb\nc', 2, 'b\nc'],
    ['a\nb\n', 2, 'a\nb\n'],
    ['a\nb\n', 9, 'a\nb\n'],
    ['\n\n\n', 2, '\n\n'],
    ['\n', 1, '\n'],
    ['no end', 1, 'no end'],
    ['', 3, ''],
  ])('of %j, %i of them, are %j', (text, lines, expected) => {
    expect(lastLines(text, lines)).toBe(expected);
  });
});

describe('what a guest wrote', () => {
  it('loses what cannot be stored and nothing else', () => {
    expect(storableText('a\0b\ud800c\u001b[1m😀\r\n')).toBe('a\ufffdb\ufffdc\u001b[1m😀\r\n');
  });
});
