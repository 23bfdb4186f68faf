/** The conductor's store of image files, from which its workers fill their caches. A file's name is its SHA-256. */
import { Injectable, StreamableFile } from '@nestjs/common';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { InjectConfig } from '../../config/config.module.js';
import type { Config } from '../../config/settings.js';
import { notFound } from '../http/api-error.js';

@Injectable()
export class ImageFiles {
  constructor(@InjectConfig() private readonly config: Config) {}

  async open(sha256: string): Promise<StreamableFile> {
    if (!/^[0-9a-f]{64}$/.test(sha256)) throw notFound('The image file');
    const file = await open(join(this.config.imageStore, sha256)).catch(() => undefined);
    if (file === undefined) throw notFound('The image file');
    const { size } = await file.stat();
    return new StreamableFile(file.createReadStream(), { type: 'application/octet-stream', length: size });
  }
}
