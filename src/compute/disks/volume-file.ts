/**
 * A volume's file: a qcow2 of its own, without a base, so that it outlives the image that it was made of. It appears
 * complete or not at all, and one that is there is never made anew: it holds somebody's data. The link that gives it its
 * name fails where another call was faster. The format is always said, never guessed. Sizes only grow.
 */
import { randomUUID } from 'node:crypto';
import { chmod, link, rm, stat } from 'node:fs/promises';
import type { ImageFormat } from '../../image-format/disk-image.js';
import type { VolumeSpec } from '../../protocol/volume.js';
import { HypervisorError } from '../hypervisor/hypervisor.js';
import { virtualSize } from './overlay-disk.js';
import { qemuImg, qemuImgFor } from './qemu-img.js';

/** For the copy of a whole image. */
const COPY_WITHIN_MS = 30 * 60_000;
const GIB = 2 ** 30;

/** What a volume begins with: an image that was found fit for it. */
export interface VolumeContent {
  readonly base: string;
  readonly baseFormat: ImageFormat;
}

const isThere = async (path: string): Promise<boolean> => (await stat(path).catch(() => undefined)) !== undefined;

/**
 * @param content is asked for only where there is no file yet.
 * @throws HypervisorError when it `isMade` and the file is not there.
 */
export async function ensureVolumeFile(
  path: string,
  { uuid, sizeGib, isMade }: VolumeSpec,
  content?: () => Promise<VolumeContent>,
): Promise<void> {
  if (await isThere(path)) return;
  if (isMade) throw new HypervisorError(`The file of the volume ${uuid} is missing on its node. It was not replaced by an empty one.`, false);
  const source = await content?.();
  const partial = `${path}.${randomUUID()}.partial`;
  try {
    if (source) await copyImage(source, partial, sizeGib);
    else await qemuImg('create', '-q', '-f', 'qcow2', partial, `${sizeGib}G`);
    // Nobody else's to read; libvirt makes QEMU's user the owner while a guest has it.
    await chmod(partial, 0o600);
    await link(partial, path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
  } finally {
    await rm(partial, { force: true });
  }
}

/** Also of a file that a running guest has: it is only looked at. */
export async function isSmaller(path: string, sizeGib: number): Promise<boolean> {
  return (await virtualSize(path, 'qcow2')) < sizeGib * GIB;
}

/** Call only while no QEMU has the file open. */
export async function growVolumeFile(path: string, sizeGib: number): Promise<void> {
  if (await isSmaller(path, sizeGib)) await qemuImg('resize', '-q', '-f', 'qcow2', path, `${sizeGib}G`);
}

async function copyImage({ base, baseFormat }: VolumeContent, path: string, sizeGib: number): Promise<void> {
  await qemuImgFor(COPY_WITHIN_MS, 'convert', '-q', '-f', baseFormat, '-O', 'qcow2', base, path);
  await qemuImg('resize', '-q', '-f', 'qcow2', path, `${sizeGib}G`);
}
