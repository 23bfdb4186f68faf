/**
 * The conductor's store of image files, from which its workers fill their caches: those of the operator, each named by its
 * SHA-256, and those that organizations have uploaded.
 */
import { Injectable, StreamableFile } from '@nestjs/common';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { InjectConfig } from '../../config/config.module.js';
import type { Config } from '../../config/settings.js';
import { notFound } from '../http/api-error.js';
import { ImageStore } from '../images/image-store.js';

@Injectable()
export class ImageFiles {
  constructor(
    @InjectConfig() private readonly config: Config,
    private readonly uploads: ImageStore,
  ) {}

  async open(sha256: string): Promise<StreamableFile> {
    return await this.stream(/^[0-9a-f]{64}$/.test(sha256) ? join(this.config.imageStore, sha256) : undefined);
  }

  async openUpload(name: string): Promise<StreamableFile> {
    return await this.stream(this.uploads.pathOf(name));
  }

  private async stream(path: string | undefined): Promise<StreamableFile> {
    const file = path === undefined ? undefined : await open(path).catch(() => undefined);
    if (file === undefined) throw notFound('The image file');
    const { size } = await file.stat();
    return new StreamableFile(file.createReadStream(), { type: 'application/octet-stream', length: size });
  }
}
