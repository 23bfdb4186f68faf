/**
 * The catalog's first image, put into the image store: the tiny guest that guest-image/build.sh made, or, for clouds
 * without real guests, an empty disk that says what it is.
 */
import { createHash } from 'node:crypto';
import { copyFile, mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SeedImage } from '../conductor/seed/seed.js';
import type { ImageFile } from '../protocol/task.js';
import { emptyQcow2 } from './empty-qcow2.js';

export const DEMO_IMAGE = 'Baton Tiny Linux';

/** What `image.json` says, beside the files that it names. */
interface BuiltImage {
  readonly kernelArguments: string;
  readonly files: {
    readonly disk: BuiltFile & { readonly format: 'qcow2' | 'raw' };
    readonly kernel: BuiltFile;
    readonly initrd: BuiltFile;
  };
}

interface BuiltFile {
  readonly file: string;
  readonly sha256: string;
  readonly size: number;
}

export async function storeBuiltImage(folder: string, imageStore: string): Promise<SeedImage> {
  const built = JSON.parse(await readFile(join(folder, 'image.json'), 'utf8')) as BuiltImage;
  const { disk, kernel, initrd } = built.files;
  await mkdir(imageStore, { recursive: true, mode: 0o755 });
  for (const { file, sha256 } of [disk, kernel, initrd])
    await store(imageStore, sha256, (path) => copyFile(join(folder, file), path));
  return {
    ...NAME,
    description: 'A Linux that boots in seconds, with SSH and a web page: the smallest real guest.',
    sizeBytes: disk.size + kernel.size + initrd.size,
    files: {
      disk: { ...reference(disk.sha256), format: disk.format },
      kernel: reference(kernel.sha256),
      initrd: reference(initrd.sha256),
      kernelArguments: built.kernelArguments,
    },
  };
}

export async function storePlaceholderImage(imageStore: string): Promise<SeedImage> {
  const disk = emptyQcow2();
  const sha256 = createHash('sha256').update(disk).digest('hex');
  await mkdir(imageStore, { recursive: true, mode: 0o755 });
  await store(imageStore, sha256, (path) => writeFile(path, disk));
  return {
    ...NAME,
    description: 'A placeholder, an empty disk: the simulated hypervisor boots no guests.',
    sizeBytes: disk.length,
    files: { disk: { ...reference(sha256), format: 'qcow2' } },
  };
}

const NAME = { name: DEMO_IMAGE, type: 'Tiny', version: '1' };

const reference = (sha256: string): ImageFile => ({ url: `/compute/image-files/${sha256}`, sha256 });

/** A file of the store appears whole: workers check its SHA-256, which is its name. */
async function store(imageStore: string, sha256: string, make: (path: string) => Promise<void>): Promise<void> {
  const path = join(imageStore, sha256);
  if (await stat(path).catch(() => undefined)) return;
  await make(`${path}.new`);
  await rename(`${path}.new`, path);
}
