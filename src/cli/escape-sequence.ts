/** Finds, in what is typed, the wish to leave: Ctrl-], or `~.` at the beginning of a line, as with ssh. `~~` is a `~`. */
const GROUP_SEPARATOR = 0x1d;
const TILDE = 0x7e;
const POINT = 0x2e;
const LINE_ENDS: ReadonlySet<number> = new Set([0x0a, 0x0d]);

export class EscapeSequence {
  private state: 'line begins' | 'tilde' | 'within line' = 'line begins';

  /** @returns what is to be sent on of it, and whether the user wants to leave after that. */
  feed(typed: Buffer): { readonly send: Buffer; readonly leave: boolean } {
    const send: number[] = [];
    for (const byte of typed) {
      if (byte === GROUP_SEPARATOR || (this.state === 'tilde' && byte === POINT)) return { send: Buffer.from(send), leave: true };
      if (this.state === 'line begins' && byte === TILDE) {
        this.state = 'tilde';
        continue;
      }
      if (this.state === 'tilde' && byte !== TILDE) send.push(TILDE);
      send.push(byte);
      this.state = LINE_ENDS.has(byte) ? 'line begins' : 'within line';
    }
    return { send: Buffer.from(send), leave: false };
  }
}
