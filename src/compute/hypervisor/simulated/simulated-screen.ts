/**
 * The screen of a simulated guest: an RFB 3.8 server (RFC 6143) as small as it can be. It shows whose screen it is, that
 * there is no guest, and a box that each pressed key moves, so that both directions can be seen.
 *
 * It serves raw rectangles in whatever true-colour format the viewer asks for, and only when it is asked, which bounds
 * what waits in memory to one picture.
 */
import { Duplex } from 'node:stream';
import { drawText, TEXT_HEIGHT } from './screen-text.js';

const WIDTH = 480;
const HEIGHT = 120;
const BOX = 24;
const BACKGROUND = [0x10, 0x18, 0x28] as const;
const INK = [0xe8, 0xee, 0xf8] as const;
const BOX_INK = [0x3f, 0xb9, 0x50] as const;
type Colour = readonly [red: number, green: number, blue: number];

const SECURITY_NONE = 1;
const RAW = 0;

/** Length of each message that a viewer sends, where its first bytes tell it. */
const LENGTHS: Readonly<Record<number, (message: Buffer) => number>> = {
  0: () => 20,
  2: (message) => (message.length < 4 ? 4 : 4 + 4 * message.readUInt16BE(2)),
  3: () => 10,
  4: () => 8,
  5: () => 6,
  6: (message) => (message.length < 8 ? 8 : 8 + Math.abs(message.readInt32BE(4))),
};
const MOST_MESSAGE_BYTES = 256 * 1024;

interface PixelFormat {
  readonly bytes: number;
  readonly bigEndian: boolean;
  readonly max: Colour;
  readonly shift: Colour;
}

/** As the server has it, until the viewer asks for another: 32 bits, blue first. */
const PIXEL_FORMAT = Buffer.from([32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0]);

export class SimulatedScreen extends Duplex {
  private received = Buffer.alloc(0);
  private step: 'version' | 'security' | 'init' | 'messages' = 'version';
  private format = pixelFormatIn(PIXEL_FORMAT);
  private box = 0;
  private shownBox = -1;
  /** The viewer has asked for what changes next. */
  private awaited = false;
  private taken: (() => void) | undefined;
  /** Enough was said; `_read` tells when more is wanted. */
  private full = false;

  constructor(private readonly name: string) {
    super();
    this.push('RFB 003.008\n');
  }

  override _read(): void {
    this.full = false;
    this.work();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, taken: () => void): void {
    this.received = Buffer.concat([this.received, chunk]);
    this.taken = taken;
    this.work();
  }

  override _final(done: () => void): void {
    this.push(null);
    done();
  }

  /** What is asked while the last answer still waits to be read is heard only afterwards. */
  private work(): void {
    try {
      while (!this.full && this.takeOne());
    } catch (error) {
      this.destroy(error as Error);
      return;
    }
    if (this.full) return;
    const { taken } = this;
    this.taken = undefined;
    taken?.();
  }

  private takeOne(): boolean {
    switch (this.step) {
      case 'version':
        return this.takeBytes(12, () => {
          this.say(Buffer.from([1, SECURITY_NONE]));
          this.step = 'security';
        });
      case 'security':
        return this.takeBytes(1, () => {
          this.say(Buffer.alloc(4));
          this.step = 'init';
        });
      case 'init':
        return this.takeBytes(1, () => {
          this.say(this.serverInit());
          this.step = 'messages';
        });
      case 'messages':
        return this.takeMessage();
    }
  }

  private takeMessage(): boolean {
    if (this.received.length === 0) return false;
    const length = LENGTHS[this.received[0]!]?.(this.received);
    if (length === undefined || length > MOST_MESSAGE_BYTES) throw new Error('the viewer does not speak RFB');
    return this.takeBytes(length, (message) => this.answer(message));
  }

  private takeBytes(length: number, use: (message: Buffer) => void): boolean {
    if (this.received.length < length) return false;
    const message = this.received.subarray(0, length);
    this.received = this.received.subarray(length);
    use(message);
    return true;
  }

  private answer(message: Buffer): void {
    const [type, flag] = message;
    if (type === 0) this.format = pixelFormatIn(message.subarray(4));
    if (type === 3) this.asked(flag === 1);
    if (type === 4 && flag === 1) this.press();
  }

  private asked(onlyChanges: boolean): void {
    if (onlyChanges && this.shownBox === this.box) this.awaited = true;
    else this.show();
  }

  private press(): void {
    this.box = (this.box + BOX) % WIDTH;
    if (this.awaited) this.show();
  }

  private show(): void {
    this.awaited = false;
    this.shownBox = this.box;
    this.say(this.picture());
  }

  private say(bytes: Buffer): void {
    this.full = !this.push(bytes);
  }

  private serverInit(): Buffer {
    const name = Buffer.from(`${this.name} (simulated)`);
    const head = Buffer.alloc(24);
    head.writeUInt16BE(WIDTH, 0);
    head.writeUInt16BE(HEIGHT, 2);
    PIXEL_FORMAT.copy(head, 4);
    head.writeUInt32BE(name.length, 20);
    return Buffer.concat([head, name]);
  }

  private picture(): Buffer {
    const head = Buffer.alloc(16);
    head.writeUInt16BE(1, 2);
    head.writeUInt16BE(WIDTH, 8);
    head.writeUInt16BE(HEIGHT, 10);
    head.writeInt32BE(RAW, 12);
    const pixels = Buffer.alloc(WIDTH * HEIGHT * this.format.bytes);
    const paint = (x: number, y: number, width: number, height: number, colour: Colour) => {
      const pixel = pixelOf(colour, this.format);
      for (let row = y; row < y + height; row++)
        for (let column = x; column < x + width; column++) pixel.copy(pixels, (row * WIDTH + column) * this.format.bytes);
    };
    paint(0, 0, WIDTH, HEIGHT, BACKGROUND);
    const write = (text: string, y: number) =>
      drawText(text, 16, y, WIDTH, (x, top, size) => paint(x, top, size, size, INK));
    write(this.name, 12);
    write('a simulated guest', 20 + TEXT_HEIGHT);
    paint(this.box, HEIGHT - BOX, BOX, BOX, BOX_INK);
    return Buffer.concat([head, pixels]);
  }
}

function pixelFormatIn(bytes: Buffer): PixelFormat {
  const bits = bytes[0]!;
  if (![8, 16, 32].includes(bits) || bytes[3] === 0) throw new Error('the viewer asks for colours that this screen does not have');
  return {
    bytes: bits / 8,
    bigEndian: bytes[2] !== 0,
    max: [bytes.readUInt16BE(4), bytes.readUInt16BE(6), bytes.readUInt16BE(8)],
    shift: [bytes[10]!, bytes[11]!, bytes[12]!],
  };
}

function pixelOf(colour: Colour, { bytes, bigEndian, max, shift }: PixelFormat): Buffer {
  const value = colour.reduce((sum, part, index) => sum + Math.round((part * max[index]!) / 255) * 2 ** shift[index]!, 0);
  const pixel = Buffer.alloc(bytes);
  // A shift beyond the pixel is the viewer's own mistake: it gets the bits that fit.
  const fitting = value % 2 ** (8 * bytes);
  if (bigEndian) pixel.writeUIntBE(fitting, 0, bytes);
  else pixel.writeUIntLE(fitting, 0, bytes);
  return pixel;
}
