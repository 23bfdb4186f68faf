/**
 * A VM's root disk: a qcow2 overlay over a base image of the cache.
 *
 * The overlay appears complete or not at all, and one that is there is never made anew: it holds the guest's data. The
 * format is always said, never guessed, because a guest can write any header it likes to the start of its disk. Sizes
 * only grow. Call only while no QEMU has the disk open.
 */
import { chmod, rename, rm, stat } from 'node:fs/promises';
import type { ImageFormat } from '../../image-format/disk-image.js';
import { qemuImg } from './qemu-img.js';

export interface OverlayRequest {
  readonly overlay: string;
  readonly base: string;
  readonly baseFormat: ImageFormat;
  readonly sizeGib: number;
}

const GIB = 2 ** 30;

export async function ensureOverlay({ overlay, base, baseFormat, sizeGib }: OverlayRequest): Promise<void> {
  const wanted = sizeGib * GIB;
  if (await stat(overlay).catch(() => undefined)) {
    if ((await virtualSize(overlay, 'qcow2')) < wanted) await qemuImg('resize', '-f', 'qcow2', overlay, String(wanted));
    return;
  }
  const size = Math.max(wanted, await virtualSize(base, baseFormat));
  const partial = `${overlay}.partial`;
  await rm(partial, { force: true });
  try {
    await qemuImg('create', '-q', '-f', 'qcow2', '-F', baseFormat, '-b', base, partial, String(size));
    // The guest's data is nobody else's to read; libvirt makes QEMU's user the owner while the guest runs.
    await chmod(partial, 0o600);
    await rename(partial, overlay);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
}

/** The size of the disk as the guest sees it, in bytes. It may be in use: nothing but its header is read. */
export async function virtualSize(path: string, format: ImageFormat): Promise<number> {
  const answer = JSON.parse(await qemuImg('info', '-U', '-f', format, '--output=json', path)) as { 'virtual-size': number };
  return answer['virtual-size'];
}
