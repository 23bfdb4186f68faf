/**
 * Looks at a disk image before any other program opens it: the conductor when one is uploaded, a worker before every use.
 *
 * An image comes from outside. A qcow2 header can name a backing or data file, any file of the host, whose content the
 * guest would then read; a "raw" disk that QEMU takes for another format could do the same; a small file can claim to be
 * a disk that fills the host. All are refused here. Which formats there are is decided by the declaration, never guessed.
 */
import { open } from 'node:fs/promises';
import { foreignFormatOf } from './foreign-format.js';
import { QCOW2_HEADER_BYTES, readQcow2 } from './qcow2-header.js';

export const IMAGE_FORMATS = ['qcow2', 'raw'] as const;
export type ImageFormat = (typeof IMAGE_FORMATS)[number];

const SECTOR_BYTES = 512;
const GIB = 2 ** 30;

export interface DiskImage {
  /** Of the disk as a guest sees it. */
  readonly virtualBytes: number;
  readonly fileBytes: number;
}

/** `message` says what is wrong with the image, as the rest of a sentence: `it has a backing file`. */
export class ImageRefusedError extends Error {
  override readonly name = 'ImageRefusedError';
}

/** GiB that a disk must have to hold it. */
export const gibibytesOf = ({ virtualBytes }: DiskImage): number => Math.ceil(virtualBytes / GIB);

/** @throws ImageRefusedError when the image must not be used. */
export async function inspectDiskImage(path: string, format: ImageFormat, mostVirtualBytes: number): Promise<DiskImage> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const read = async (length: number, position: number): Promise<Buffer> => {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, position);
      return buffer.subarray(0, bytesRead);
    };
    const head = await read(QCOW2_HEADER_BYTES, 0);
    const tail = await read(SECTOR_BYTES, Math.max(0, size - SECTOR_BYTES));
    return inspect({ head, tail, size }, format, mostVirtualBytes);
  } finally {
    await file.close();
  }
}

/** Looks at a VM's own disk, which a guest that broke out of its QEMU may have written to. @throws ImageRefusedError */
export async function inspectOverlay(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const { buffer, bytesRead } = await file.read(Buffer.alloc(QCOW2_HEADER_BYTES), 0, QCOW2_HEADER_BYTES, 0);
    const { refusal } = readQcow2(buffer.subarray(0, bytesRead), size, 'on a base');
    if (refusal !== undefined) throw new ImageRefusedError(refusal);
  } finally {
    await file.close();
  }
}

export interface FileEnds {
  readonly head: Buffer;
  readonly tail: Buffer;
  readonly size: number;
}

/** Pure: what `inspectDiskImage` decides, of what it has read. */
export function inspect({ head, tail, size }: FileEnds, format: ImageFormat, mostVirtualBytes: number): DiskImage {
  const virtualBytes = format === 'qcow2' ? virtualBytesOfQcow2(head, tail, size) : virtualBytesOfRaw(head, tail, size);
  if (virtualBytes === 0) throw new ImageRefusedError('it is a disk of no size');
  if (virtualBytes > mostVirtualBytes)
    throw new ImageRefusedError(`it unpacks to a disk of ${inGib(virtualBytes)} GiB, and at most ${inGib(mostVirtualBytes)} are allowed`);
  return { virtualBytes, fileBytes: size };
}

function virtualBytesOfQcow2(head: Buffer, tail: Buffer, size: number): number {
  const reading = readQcow2(head, size);
  if (reading.refusal === undefined) return Number(reading.virtualBytes);
  const foreign = foreignFormatOf(head, tail);
  throw new ImageRefusedError(foreign === undefined || foreign === 'qcow' ? reading.refusal : `${reading.refusal}, but ${foreign}`);
}

function virtualBytesOfRaw(head: Buffer, tail: Buffer, size: number): number {
  if (size < SECTOR_BYTES) throw new ImageRefusedError('it is shorter than one disk sector');
  const foreign = foreignFormatOf(head, tail);
  if (foreign !== undefined) throw new ImageRefusedError(`it is declared as raw but has the signature of ${foreign}`);
  return size;
}

const inGib = (bytes: number): string => (bytes % GIB === 0 ? String(bytes / GIB) : (bytes / GIB).toFixed(1));
