/**
 * The folder of the files that organizations have uploaded, within the image store. A file's name is a UUID of its own
 * upload, so that two uploads can never write to one file; an image's row says which is its.
 *
 * A file appears whole: it is written beside and renamed when all of it is there and was looked at. What no row names
 * goes with the sweep of `image-upkeep.ts`.
 */
import { Injectable } from '@nestjs/common';
import { mkdir, open, readdir, rename, rm, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { InjectConfig } from '../../config/config.module.js';
import type { Config } from '../../config/settings.js';

const FOLDER = 'uploads';
const PARTIAL_SUFFIX = '.partial';
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** Left to whatever else is on the file system. */
const RESERVED_BYTES = 2 ** 30;

const URL_PREFIX = '/compute/uploaded-images/';

/** What an image's row names the file by: workers fetch it there. */
export const uploadUrl = (name: string): string => URL_PREFIX + name;

export interface StoredUpload {
  readonly name: string;
  readonly changedAt: Date;
  readonly partial: boolean;
}

@Injectable()
export class ImageStore {
  constructor(@InjectConfig() private readonly config: Pick<Config, 'imageStore'>) {}

  private get folder(): string {
    return join(this.config.imageStore, FOLDER);
  }

  /** Where an upload is written until it is kept. */
  async partialPath(name: string): Promise<string> {
    await mkdir(this.folder, { recursive: true, mode: 0o755 });
    return join(this.folder, name + PARTIAL_SUFFIX);
  }

  async hasRoomFor(bytes: number): Promise<boolean> {
    const { bavail, bsize } = await statfs(this.folder);
    return bytes + RESERVED_BYTES <= bavail * bsize;
  }

  async keep(name: string): Promise<void> {
    await rename(join(this.folder, name + PARTIAL_SUFFIX), join(this.folder, name));
    const folder = await open(this.folder, 'r');
    await folder.sync().finally(() => folder.close());
  }

  /** @returns undefined when there is no such file. */
  pathOf(name: string): string | undefined {
    return UUID.test(name) ? join(this.folder, name) : undefined;
  }

  async remove(name: string): Promise<void> {
    await rm(join(this.folder, name), { force: true });
    await rm(join(this.folder, name + PARTIAL_SUFFIX), { force: true });
  }

  async list(): Promise<StoredUpload[]> {
    const files = await readdir(this.folder).catch(() => []);
    const found = await Promise.all(
      files.map(async (file) => {
        const partial = file.endsWith(PARTIAL_SUFFIX);
        const name = partial ? file.slice(0, -PARTIAL_SUFFIX.length) : file;
        const status = UUID.test(name) ? await stat(join(this.folder, file)).catch(() => undefined) : undefined;
        return status && { name, changedAt: status.mtime, partial };
      }),
    );
    return found.filter((file) => file !== undefined);
  }
}
