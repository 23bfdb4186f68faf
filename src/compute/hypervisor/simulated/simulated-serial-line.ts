/** The serial line of a simulated guest: what it wrote while it booted, and then an echo of what is typed. */
import { Duplex } from 'node:stream';

const ENTER = 0x0d;
const ERASE: ReadonlySet<number> = new Set([0x08, 0x7f]);

export class SimulatedSerialLine extends Duplex {
  private line = '';
  private taken: (() => void) | undefined;
  private full = false;

  constructor(boot: string) {
    super();
    this.push(boot);
    this.say('There is no guest behind this console: it repeats each line.\r\n> ');
  }

  override _read(): void {
    this.full = false;
    const { taken } = this;
    this.taken = undefined;
    taken?.();
  }

  /** More is heard only when the echo was read. */
  override _write(typed: Buffer, _encoding: BufferEncoding, taken: () => void): void {
    for (const byte of typed) this.type(byte);
    if (this.full) this.taken = taken;
    else taken();
  }

  override _final(done: () => void): void {
    this.push(null);
    done();
  }

  private type(byte: number): void {
    if (byte === ENTER) {
      this.say(`\r\n${this.line}${this.line === '' ? '' : '\r\n'}> `);
      this.line = '';
    } else if (ERASE.has(byte)) {
      if (this.line !== '') this.say('\b \b');
      this.line = this.line.slice(0, -1);
    } else if (byte >= 0x20 && byte < 0x7f && this.line.length < 1000) {
      const letter = String.fromCharCode(byte);
      this.line += letter;
      this.say(letter);
    }
  }

  private say(text: string): void {
    this.full = !this.push(text);
  }
}
