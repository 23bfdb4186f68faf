import { describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { SimulatedScreen } from './simulated-screen.js';
import { SimulatedSerialLine } from './simulated-serial-line.js';

/** Everything that is there to read, once there is anything. */
async function read(console: Duplex): Promise<Buffer> {
  if (console.readableLength === 0) await once(console, 'readable');
  return console.read() as Buffer;
}

const text = async (console: Duplex): Promise<string> => (await read(console)).toString('latin1');

async function connected(name = 'otter'): Promise<SimulatedScreen> {
  const screen = new SimulatedScreen(name);
  expect(await text(screen)).toBe('RFB 003.008\n');
  screen.write('RFB 003.008\n');
  expect(await text(screen)).toBe('\x01\x01');
  screen.write('\x01');
  expect(await text(screen)).toBe('\0\0\0\0');
  screen.write('\x01');
  const init = await read(screen);
  expect([init.readUInt16BE(0), init.readUInt16BE(2)]).toEqual([480, 120]);
  expect(init.subarray(24).toString()).toBe(`${name} (simulated)`);
  return screen;
}

const ASK = Buffer.from([3, 0, 0, 0, 0, 0, 1, 0xe0, 0, 120]);
const ASK_FOR_CHANGES = Buffer.from([3, 1, 0, 0, 0, 0, 1, 0xe0, 0, 120]);
const PRESS = Buffer.from([4, 1, 0, 0, 0, 0, 0, 0x61]);

describe('a simulated screen', () => {
  it('answers a request with a picture, in the colours that the viewer asked for', async () => {
    const screen = await connected();
    screen.write(Buffer.from([0, 0, 0, 0, 16, 16, 1, 1, 0, 31, 0, 63, 0, 31, 11, 5, 0, 0, 0, 0]));
    screen.write(ASK);
    const picture = await read(screen);
    expect(picture).toHaveLength(16 + 480 * 120 * 2);
    // The background, five bits red, six green, five blue.
    expect(picture.readUInt16BE(16)).toBe((2 << 11) | (6 << 5) | 5);
  });

  it('shows changes when there are any: here, after a key', async () => {
    const screen = await connected();
    screen.write(ASK_FOR_CHANGES);
    const first = await read(screen);
    screen.write(ASK_FOR_CHANGES);
    expect(screen.readableLength).toBe(0);
    screen.write(PRESS);
    expect((await read(screen)).equals(first)).toBe(false);
  });

  it('keeps one picture for a viewer that asks and does not read', async () => {
    const screen = await connected();
    for (let n = 0; n < 100; n++) screen.write(ASK);
    expect(screen.readableLength).toBeLessThan(2 * (16 + 480 * 120 * 4));
    expect(screen.writableLength).toBeGreaterThan(0);
    let bytes = 0;
    while (bytes < 100 * (16 + 480 * 120 * 4)) bytes += (await read(screen)).length;
  });

  it('understands a message that comes in pieces', async () => {
    const screen = await connected();
    for (const byte of ASK) screen.write(Buffer.from([byte]));
    expect(await read(screen)).toHaveLength(16 + 480 * 120 * 4);
  });

  it.each([[[99]], [[6, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff]], [[0, 0, 0, 0, 24, 24, 0, 1, 0, 255, 0, 255, 0, 255, 0, 0, 0, 0, 0, 0]]])(
    'hangs up on %j',
    async (bytes) => {
      const screen = await connected();
      const failed = once(screen, 'error');
      screen.write(Buffer.from(bytes));
      await failed;
    },
  );
});

describe('a simulated serial line', () => {
  it('tells what was written before, and repeats each line', async () => {
    const line = new SimulatedSerialLine('booted\r\n');
    expect(await text(line)).toMatch(/^booted\r\nThere is no guest .*\r\n> $/);
    line.write('l\x7fwho\r');
    expect(await text(line)).toBe('l\b \bwho\r\nwho\r\n> ');
  });

  it('hears no more than is read of it', () => {
    const line = new SimulatedSerialLine('');
    for (let n = 0; n < 100; n++) line.write('x'.repeat(999) + '\r');
    expect(line.readableLength).toBeLessThan(line.readableHighWaterMark + 4_000);
  });
});
