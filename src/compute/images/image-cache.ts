/**
 * The node's cache of image files, each under the name of its own SHA-256.
 *
 * A file in the cache is complete and right: it is written beside, verified while it streams, synced, made read-only
 * and only then renamed. Guests share these files as backing stores, so nothing may ever write to one again; when it was
 * last asked for is kept as its time of modification. Concurrent callers share one download.
 *
 * What nobody uses goes, longest unused first; never what a disk of this node stands on, and never what was asked for
 * within the last hour, because the disk that shall stand on it may be in the making.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { ImageRefusedError, inspectDiskImage } from '../../image-format/disk-image.js';
import type { ImageOrder } from '../../protocol/image.js';
import type { ImageFile } from '../../protocol/task.js';
import { HypervisorError } from '../hypervisor/hypervisor.js';
import { DOWNLOAD_LIMITS, ImageDownloads, type DownloadLimits, type DownloadRequest, type DownloadSources } from './image-download.js';

export interface ImageCacheOptions extends DownloadSources {
  readonly folder: string;
  readonly limits?: Partial<DownloadLimits>;
  readonly log: Logger;
}

export interface CheckedImage {
  readonly sha256: string;
  readonly bytes: number;
  readonly virtualBytes: number;
}

const PARTIAL_SUFFIX = '.partial';
const DIGEST = /^[0-9a-f]{64}$/;
const KEPT_AFTER_USE_MS = 3600_000;
const UNUSED_AFTER_MS = 7 * 24 * 3600_000;

export class ImageCache {
  private readonly inHand = new Map<string, Promise<string>>();
  private readonly downloads: ImageDownloads;
  private readonly limits: DownloadLimits;

  constructor(private readonly options: ImageCacheOptions) {
    this.downloads = new ImageDownloads(options);
    this.limits = { ...DOWNLOAD_LIMITS, ...options.limits };
  }

  /** Makes the folder and clears away what an earlier process left half done. */
  async open(): Promise<void> {
    await mkdir(this.options.folder, { recursive: true, mode: 0o755 });
    const names = await readdir(this.options.folder);
    const partial = names.filter((name) => name.endsWith(PARTIAL_SUFFIX));
    await Promise.all(partial.map((name) => rm(join(this.options.folder, name), { force: true })));
  }

  close(): Promise<void> {
    return this.downloads.close();
  }

  /** @returns the path of the verified, read-only file. */
  ensure(file: ImageFile): Promise<string> {
    const running = this.inHand.get(file.sha256);
    if (running) return running;
    const work = this.lookOrDownload(file).finally(() => this.inHand.delete(file.sha256));
    this.inHand.set(file.sha256, work);
    return work;
  }

  /**
   * Downloads an image that nobody has looked at yet, even if a file of the same content is here: who only knows the
   * checksum of somebody's image must not come by it.
   * @throws HypervisorError with what is wrong with the image or with its place; nothing is left of it then.
   */
  async check(order: ImageOrder, onProgress: DownloadRequest['onProgress'], signal: AbortSignal): Promise<CheckedImage> {
    const { url, format, checksum, mostBytes, mostVirtualBytes } = order;
    const misplaced = this.options.egress.refusalOf(url);
    if (misplaced !== undefined) throw refused(misplaced.replace(/\.$/, ''));
    const path = this.partial();
    try {
      const limits = { ...this.limits, bytes: mostBytes };
      const found = await this.downloads.download({ url, path, limits, signal, ...(onProgress && { onProgress }) });
      if (found[checksum.algorithm] !== checksum.digest)
        throw refused(`its ${checksum.algorithm} is ${found[checksum.algorithm]}, but ${checksum.digest} was expected`);
      const { virtualBytes } = await inspectDiskImage(path, format, mostVirtualBytes);
      await this.keep(path, found.sha256);
      return { sha256: found.sha256, bytes: found.bytes, virtualBytes };
    } catch (error) {
      await rm(path, { force: true });
      if (error instanceof ImageRefusedError) throw refused(error.message);
      throw error;
    }
  }

  /** @param inUse the digests of files that disks of this node stand on. @returns the digests of what went. */
  async evict(inUse: ReadonlySet<string>, mostBytes: number): Promise<string[]> {
    const files = await this.files();
    let total = files.reduce((sum, { bytes }) => sum + bytes, 0);
    const gone: string[] = [];
    const now = Date.now();
    for (const { digest, bytes, usedAt } of files) {
      if (inUse.has(digest) || this.inHand.has(digest) || now - usedAt < KEPT_AFTER_USE_MS) continue;
      if (total <= mostBytes && now - usedAt < UNUSED_AFTER_MS) continue;
      await rm(this.pathOf(digest), { force: true });
      total -= bytes;
      gone.push(digest);
    }
    if (gone.length > 0) this.options.log.info({ files: gone }, 'removed image files that nobody uses');
    return gone;
  }

  private async lookOrDownload(file: ImageFile): Promise<string> {
    // The name becomes a path: nothing but a digest may pass.
    if (!DIGEST.test(file.sha256)) {
      throw refused(`its checksum '${file.sha256}' is not a SHA-256 in lower-case hex`);
    }
    const path = this.pathOf(file.sha256);
    const now = new Date();
    const present = await utimes(path, now, now).then(
      () => true,
      () => false,
    );
    if (!present) await this.download(file);
    return path;
  }

  private async download({ url, sha256 }: ImageFile): Promise<void> {
    const path = this.partial();
    const startedAt = Date.now();
    const found = await this.downloads.download({ url, path, limits: this.limits });
    if (found.sha256 !== sha256) {
      await rm(path, { force: true });
      throw refused(`its file has the checksum ${found.sha256}, but ${sha256} was expected`);
    }
    await this.keep(path, sha256);
    this.options.log.info({ sha256, bytes: found.bytes, ms: Date.now() - startedAt }, 'image file cached');
  }

  private async keep(partial: string, digest: string): Promise<void> {
    await rename(partial, this.pathOf(digest));
    await syncFolder(this.options.folder);
  }

  /** The longest unused first. */
  private async files(): Promise<{ digest: string; bytes: number; usedAt: number }[]> {
    const names = (await readdir(this.options.folder)).filter((name) => DIGEST.test(name));
    const files = await Promise.all(
      names.map(async (digest) => {
        const file = await stat(this.pathOf(digest)).catch(() => undefined);
        return file && { digest, bytes: file.size, usedAt: file.mtimeMs };
      }),
    );
    return files.filter((file) => file !== undefined).sort((one, other) => one.usedAt - other.usedAt);
  }

  private pathOf(digest: string): string {
    return join(this.options.folder, digest);
  }

  private partial(): string {
    return join(this.options.folder, `${randomUUID()}${PARTIAL_SUFFIX}`);
  }
}

const refused = (reason: string): HypervisorError =>
  new HypervisorError(`The image cannot be used: ${reason}.`, false, { failure: 'image' });

/** The rename itself survives a power loss only when the folder is synced too. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
