/**
 * An instance's own copy of a kernel or initrd of the cache.
 *
 * libvirt makes QEMU's user the owner of what a domain boots from, and the owner may write. In the cache that file is
 * everybody's: one guest that broke out into its QEMU could change what all others boot. A copy is nobody else's, and
 * where the file system can share blocks it costs nothing. It appears complete or not at all.
 */
import { chmod, constants, copyFile, rename, rm } from 'node:fs/promises';

export async function ensureBootFile(cached: string, own: string): Promise<void> {
  const partial = `${own}.partial`;
  await rm(partial, { force: true });
  try {
    await copyFile(cached, partial, constants.COPYFILE_FICLONE);
    await chmod(partial, 0o400);
    await rename(partial, own);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
}
