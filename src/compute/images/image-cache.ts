/**
 * The node's cache of image files, each under the name of its own SHA-256.
 *
 * A file in the cache is complete and right: it is written beside, verified while it streams, synced, made read-only
 * and only then renamed. Guests share these files as backing stores, so nothing may ever write to one again.
 * Concurrent callers share one download. Credentials go to the conductor alone, never to another origin.
 */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { ImageFile } from '../../protocol/task.js';
import { HypervisorError } from '../hypervisor/hypervisor.js';

export interface ImageCacheOptions {
  readonly folder: string;
  /** What relative URLs are resolved against. */
  readonly conductorUrl: string;
  /** Asked anew for each download, because a node's key may change. */
  readonly conductorHeaders: () => Record<string, string>;
  /** Default: 64 GiB. */
  readonly maxBytes?: number;
  /** For one download, from the request to the last byte. Default: 30 minutes. */
  readonly timeoutMs?: number;
  readonly log: Logger;
}

const DEFAULT_MAX_BYTES = 64 * 2 ** 30;
const DEFAULT_TIMEOUT_MS = 30 * 60_000;
const PARTIAL_SUFFIX = '.partial';

export class ImageCache {
  private readonly downloads = new Map<string, Promise<string>>();
  private readonly maxBytes: number;
  private readonly timeoutMs: number;

  constructor(private readonly options: ImageCacheOptions) {
    this.maxBytes = options.maxBytes ?? DEFAULT_MAX_BYTES;
    this.timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  }

  /** Makes the folder and clears away what an earlier process left half done. */
  async open(): Promise<void> {
    await mkdir(this.options.folder, { recursive: true, mode: 0o755 });
    const names = await readdir(this.options.folder);
    const partial = names.filter((name) => name.endsWith(PARTIAL_SUFFIX));
    await Promise.all(partial.map((name) => rm(join(this.options.folder, name), { force: true })));
  }

  /** @returns the path of the verified, read-only file. */
  ensure(file: ImageFile): Promise<string> {
    const running = this.downloads.get(file.sha256);
    if (running) return running;
    const download = this.lookOrDownload(file).finally(() => this.downloads.delete(file.sha256));
    this.downloads.set(file.sha256, download);
    return download;
  }

  private async lookOrDownload(file: ImageFile): Promise<string> {
    // The name becomes a path: nothing but a digest may pass.
    if (!/^[0-9a-f]{64}$/.test(file.sha256)) {
      throw new HypervisorError(`The image's checksum '${file.sha256}' is not a SHA-256 in lower-case hex.`, false, { failure: 'image' });
    }
    const path = join(this.options.folder, file.sha256);
    const present = await stat(path).catch(() => undefined);
    if (present) return path;
    await this.download(file, path);
    return path;
  }

  private async download(file: ImageFile, path: string): Promise<void> {
    const partial = `${path}.${randomUUID()}${PARTIAL_SUFFIX}`;
    const startedAt = Date.now();
    try {
      const response = await this.request(file.url);
      const { bytes, sha256 } = await this.write(response, partial, file.url);
      if (sha256 !== file.sha256) {
        throw new HypervisorError(
          `The image file ${file.url} has the checksum ${sha256}, but ${file.sha256} was expected.`,
          false,
          { failure: 'image' },
        );
      }
      await rename(partial, path);
      await syncFolder(this.options.folder);
      this.options.log.info({ url: file.url, bytes, ms: Date.now() - startedAt }, 'image file cached');
    } catch (error) {
      await rm(partial, { force: true });
      throw error instanceof HypervisorError ? error : this.explain(error, file.url);
    }
  }

  private async request(url: string): Promise<Response> {
    const { target, ofConductor } = this.resolve(url);
    const response = await fetch(target, {
      headers: ofConductor ? this.options.conductorHeaders() : {},
      // A redirect would carry the node's key to wherever it points.
      redirect: ofConductor ? 'error' : 'follow',
      signal: AbortSignal.timeout(this.timeoutMs),
    });
    if (!response.ok) {
      await response.body?.cancel();
      const retryable = response.status >= 500 || response.status === 429 || response.status === 408;
      throw new HypervisorError(`The image file ${url} cannot be downloaded: HTTP ${response.status}.`, retryable, { failure: retryable ? 'node' : 'image' });
    }
    return response;
  }

  private resolve(url: string): { target: URL; ofConductor: boolean } {
    const conductor = new URL(this.options.conductorUrl);
    let target: URL;
    try {
      target = new URL(url, conductor);
    } catch {
      throw new HypervisorError(`The image's address '${url}' is not a URL.`, false, { failure: 'image' });
    }
    if (target.protocol !== 'http:' && target.protocol !== 'https:') {
      throw new HypervisorError(`The image's address '${url}' must be http, https or relative.`, false, { failure: 'image' });
    }
    const isAbsolute = /^([a-z][a-z0-9+.-]*:|\/\/|\\)/i.test(url);
    return { target, ofConductor: !isAbsolute && target.origin === conductor.origin };
  }

  private async write(response: Response, partial: string, url: string): Promise<{ bytes: number; sha256: string }> {
    const hash = createHash('sha256');
    let bytes = 0;
    const output = await open(partial, 'wx', 0o600);
    try {
      for await (const chunk of response.body ?? []) {
        bytes += chunk.byteLength;
        if (bytes > this.maxBytes) {
          throw new HypervisorError(`The image file ${url} is larger than the limit of ${this.maxBytes} bytes.`, false, { failure: 'image' });
        }
        hash.update(chunk);
        await output.writeFile(chunk);
      }
      await output.chmod(0o444);
      await output.sync();
    } finally {
      await output.close();
    }
    return { bytes, sha256: hash.digest('hex') };
  }

  private explain(error: unknown, url: string): HypervisorError {
    // Not `instanceof Error`: what an abort throws is a DOMException, which may come from another realm.
    const timedOut = (error as { name?: string } | undefined)?.name === 'TimeoutError';
    const reason = timedOut ? `it took longer than ${this.timeoutMs / 1000} s` : 'the download failed on the compute node';
    return new HypervisorError(`The image file ${url} cannot be downloaded: ${reason}.`, true, { cause: error });
  }
}

/** The rename itself survives a power loss only when the folder is synced too. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
