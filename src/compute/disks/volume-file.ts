/**
 * A volume's file: a sparse qcow2 of its own, without a base. It appears complete or not at all, and one that is there is
 * never made anew: it holds somebody's data.
 */
import { chmod, rename, rm, stat } from 'node:fs/promises';
import { runCommand } from '../hypervisor/libvirt/host-command.js';

const TIMEOUT_MS = 60_000;

export async function ensureVolumeFile(path: string, sizeGib: number): Promise<void> {
  if (await stat(path).catch(() => undefined)) return;
  const partial = `${path}.partial`;
  await rm(partial, { force: true });
  try {
    await runCommand('qemu-img', ['create', '-q', '-f', 'qcow2', partial, `${sizeGib}G`], { timeoutMs: TIMEOUT_MS });
    // Nobody else's to read; libvirt makes QEMU's user the owner while a guest has it.
    await chmod(partial, 0o600);
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
}
