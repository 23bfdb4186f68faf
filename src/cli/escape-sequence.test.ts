import { describe, expect, it } from '@jest/globals';
import { EscapeSequence } from './escape-sequence.js';

/** Each piece as it comes from the terminal. */
function typed(...pieces: string[]): { sent: string; left: boolean } {
  const escape = new EscapeSequence();
  let sent = '';
  for (const piece of pieces) {
    const { send, leave } = escape.feed(Buffer.from(piece));
    sent += send.toString();
    if (leave) return { sent, left: true };
  }
  return { sent, left: false };
}

describe('the way out of a console', () => {
  it.each([
    ['Ctrl-]', ['ls\x1d'], { sent: 'ls', left: true }],
    ['~. at the very beginning', ['~.'], { sent: '', left: true }],
    ['~. after a line, key by key', ['l', 's', '\r', '~', '.'], { sent: 'ls\r', left: true }],
    ['not ~. within a line', ['cd ~.'], { sent: 'cd ~.', left: false }],
    ['not ~ and something else', ['~/bin\r'], { sent: '~/bin\r', left: false }],
    ['not ~~, which is a ~', ['~~', '.'], { sent: '~.', left: false }],
    ['not what is pasted with accents', ['~é'], { sent: '~é', left: false }],
  ])('is %s', (_name, pieces, outcome) => {
    expect(typed(...pieces)).toEqual(outcome);
  });
});
