/**
 * The file that a guest's serial console is written to. libvirt's virtlogd may turn it over at a few megabytes: what
 * was before stands in `….0` then, and is read on where the file itself is too short.
 */
import { open } from 'node:fs/promises';

export async function consoleTail(path: string, bytes: number): Promise<Buffer> {
  const last = await fileTail(path, bytes);
  const before = last.length < bytes ? await fileTail(`${path}.0`, bytes - last.length) : Buffer.alloc(0);
  return Buffer.concat([before, last]);
}

/** Nothing when there is no such file. */
async function fileTail(path: string, bytes: number): Promise<Buffer> {
  const file = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (file === undefined) return Buffer.alloc(0);
  try {
    const { size } = await file.stat();
    const wanted = Math.min(bytes, size);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(wanted), 0, wanted, size - wanted);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}
