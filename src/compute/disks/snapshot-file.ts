/**
 * A snapshot's file: a qcow2 without a base, a copy of a VM's root disk as it was at one moment. It appears complete or
 * not at all, under the name that says so, is read-only, and is never written to again: VMs share it as their base.
 *
 * What the guest wrote is never believed. Formats are said for every file of the chain, and the base is the one that
 * the VM was made of, whatever the disk's own header says. The base is opened for reading alone.
 */
import { chmod, chown, link, open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ImageRefusedError, inspectDiskImage, inspectOverlay } from '../../image-format/disk-image.js';
import { HypervisorError } from '../hypervisor/hypervisor.js';
import { qemuImgFor } from './qemu-img.js';

/** RabbitMQ takes a message back that was not acknowledged for 30 minutes: the copy has to be over before. */
export const COPY_WITHIN_MS = 25 * 60_000;
const BLOCK_BYTES = 512;

export interface DiskChain {
  readonly file: string;
  readonly base: { readonly file: string; readonly format: string } | undefined;
}

export const partialOf = (file: string): string => `${file}.partial`;

/** @returns what the file takes of the disk, or undefined when there is none. */
export async function bytesHeld(file: string): Promise<number | undefined> {
  const found = await stat(file).catch(() => undefined);
  return found && found.blocks * BLOCK_BYTES;
}

/** Of a disk that no QEMU has open. */
export async function copyDisk({ file, base }: DiskChain, partial: string): Promise<void> {
  await explained('The disk of the virtual machine cannot be copied', () => inspectOverlay(file));
  const source = {
    driver: 'qcow2',
    file: { driver: 'file', filename: file },
    backing: base === undefined ? null : baseOf(base.file, base.format),
  };
  await qemuImgFor(COPY_WITHIN_MS, 'convert', '-q', '-O', 'qcow2', `json:${JSON.stringify(source)}`, partial);
}

const baseOf = (filename: string, format: string) => ({
  driver: format,
  'read-only': true,
  file: { driver: 'file', filename, 'read-only': true },
  ...(format === 'qcow2' && { backing: null }),
});

/** Makes a copy that is complete a snapshot: nobody's to write, on the disk, and under its name. */
export async function finishCopy(partial: string, file: string, readers: number | undefined): Promise<void> {
  // First out of the hands of the QEMU that wrote it, then looked at.
  await chown(partial, 0, readers ?? 0);
  await chmod(partial, readers === undefined ? 0o444 : 0o440);
  await explained('The copy of the disk cannot be used', () => inspectDiskImage(partial, 'qcow2', Number.MAX_SAFE_INTEGER));
  await sync(partial);
  await rename(partial, file);
  await sync(dirname(file));
}

/** One more name for the file, which is there until the last of its names goes. */
export async function ensureBase(file: string, name: string): Promise<void> {
  // The snapshot itself may be gone by now.
  if (await stat(name).catch(() => undefined)) return;
  try {
    await link(file, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new HypervisorError('The snapshot that the virtual machine is to be made of is not on this compute node.', false, { failure: 'image' });
  }
}

export async function removeCopy(file: string): Promise<void> {
  await rm(partialOf(file), { force: true });
  await rm(file, { force: true });
}

async function explained(failure: string, look: () => Promise<unknown>): Promise<void> {
  try {
    await look();
  } catch (error) {
    if (!(error instanceof ImageRefusedError)) throw error;
    throw new HypervisorError(`${failure}: ${error.message}.`, false);
  }
}

async function sync(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
