/** The tiny guest image, built once for all runs on this host: guest-image/build.sh leaves one that is up to date. */
import { execFile } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** @returns the folder with `image.json` and the files that it names. */
export async function guestImage(): Promise<string> {
  const folder = process.env['BATON_GUEST_IMAGE'] ?? join(tmpdir(), 'baton-guest-image');
  await run(join(process.cwd(), 'guest-image/build.sh'), [folder]);
  return folder;
}

/** @param disk where the tiny guest is put as one that boots by itself, with a boot loader and no kernel beside it. */
export async function makeBootableDisk(disk: string): Promise<void> {
  await run(join(process.cwd(), 'guest-image/bootable-disk.sh'), [await guestImage(), disk]);
}
