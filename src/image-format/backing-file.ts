/** Which file a disk stands on, as its own header says. For disks that Baton made itself: nothing is checked here. */
import { open } from 'node:fs/promises';
import { QCOW2_MAGIC } from './qcow2-header.js';

const FIXED_HEADER_BYTES = 72;
const LONGEST_NAME = 1023;

/** @returns undefined for a file that is no qcow2, or a qcow2 that stands alone. @throws when it cannot be read. */
export async function backingFileOf(path: string): Promise<string | undefined> {
  const file = await open(path, 'r');
  try {
    const header = Buffer.alloc(FIXED_HEADER_BYTES);
    const { bytesRead } = await file.read(header, 0, FIXED_HEADER_BYTES, 0);
    if (bytesRead < FIXED_HEADER_BYTES || header.toString('latin1', 0, 4) !== QCOW2_MAGIC) return undefined;
    const length = Math.min(header.readUInt32BE(16), LONGEST_NAME);
    if (length === 0) return undefined;
    const { buffer } = await file.read(Buffer.alloc(length), 0, length, Number(header.readBigUInt64BE(8)));
    return buffer.toString('utf8');
  } finally {
    await file.close();
  }
}
