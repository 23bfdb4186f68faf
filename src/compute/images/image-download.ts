/**
 * Downloads one file for the image cache, from the conductor or from where a user pointed.
 *
 * The two are kept apart. To the conductor goes the node's key, and no redirect is followed. Everywhere else goes no
 * credential at all, through the guard of egress: every address is checked where the connection is made, and every
 * redirect is a new URL to be checked. Size, time, silence and slowness have limits, so that no sender can hold a node
 * up. Errors are in words fit for the image's owner; neither what the sender wrote nor its address is among them.
 */
import { createHash } from 'node:crypto';
import { open, rm, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Agent, type Dispatcher } from 'undici';
import { EgressRefusedError, type GuardedEgress } from '../../egress/guarded-egress.js';
import { HypervisorError } from '../hypervisor/hypervisor.js';

export interface DownloadLimits {
  /** Of the file. */
  readonly bytes: number;
  /** From the request to the last byte. */
  readonly totalMs: number;
  /** Without a byte. */
  readonly silenceMs: number;
  /** On average, after `graceMs`. */
  readonly leastBytesPerSecond: number;
  readonly graceMs: number;
}

export const DOWNLOAD_LIMITS: DownloadLimits = {
  bytes: 64 * 2 ** 30,
  totalMs: 2 * 3600_000,
  silenceMs: 30_000,
  leastBytesPerSecond: 64 * 1024,
  graceMs: 60_000,
};

export interface DownloadSources {
  /** What relative URLs are resolved against. */
  readonly conductorUrl: string;
  /** Asked anew for each download, because a node's key may change. */
  readonly conductorHeaders: () => Record<string, string>;
  readonly egress: GuardedEgress;
}

export interface DownloadRequest {
  readonly url: string;
  /** Written anew; removed when the download fails. */
  readonly path: string;
  readonly limits: DownloadLimits;
  readonly onProgress?: (bytes: number, totalBytes: number | undefined) => void;
  readonly signal?: AbortSignal;
}

export interface Downloaded {
  readonly bytes: number;
  readonly sha256: string;
  readonly sha512: string;
}

const CONNECTIONS = 8;
const MOST_REDIRECTS = 5;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
const PASSING: ReadonlySet<number> = new Set([408, 425, 429]);
/** Of the node's disk, left to the guests. */
const RESERVED_BYTES = 2 ** 30;

interface Opened {
  readonly body: Dispatcher.ResponseData['body'];
  readonly totalBytes: number | undefined;
}

export class ImageDownloads {
  private readonly toConductor = new Agent({ connections: CONNECTIONS });
  private readonly toOthers: Agent;

  constructor(private readonly sources: DownloadSources) {
    this.toOthers = sources.egress.createAgent({ connectionsPerOrigin: CONNECTIONS });
  }

  async close(): Promise<void> {
    await Promise.all([this.toConductor.destroy(), this.toOthers.destroy()]);
  }

  /** @throws HypervisorError with the reason, and nothing is left of the file. */
  async download(request: DownloadRequest): Promise<Downloaded> {
    const { path, limits, signal } = request;
    const timeLimit = AbortSignal.timeout(limits.totalMs);
    const abort = signal === undefined ? timeLimit : AbortSignal.any([signal, timeLimit]);
    try {
      const opened = await this.open(request, abort);
      await refuseWithoutRoom(path, opened.totalBytes ?? 0);
      return await write(opened, request);
    } catch (error) {
      await rm(path, { force: true });
      if (error instanceof HypervisorError) throw error;
      throw failed(reasonOf(error, limits, timeLimit.aborted), true, error);
    }
  }

  private open(request: DownloadRequest, signal: AbortSignal): Promise<Opened> {
    const isAbsolute = /^([a-z][a-z0-9+.-]*:|\/\/|\\)/i.test(request.url);
    return isAbsolute ? this.openElsewhere(request, signal) : this.openAtConductor(request, signal);
  }

  private async openAtConductor({ url, limits }: DownloadRequest, signal: AbortSignal): Promise<Opened> {
    const headers = this.sources.conductorHeaders();
    const response = await get(this.toConductor, new URL(url, this.sources.conductorUrl), limits, signal, headers);
    if (REDIRECTS.has(response.statusCode)) {
      await response.body.dump();
      throw failed('the conductor redirects to another place', false);
    }
    return await accepted(response, limits);
  }

  private async openElsewhere(request: DownloadRequest, signal: AbortSignal): Promise<Opened> {
    let url = request.url;
    for (let redirects = 0; redirects <= MOST_REDIRECTS; redirects++) {
      const refusal = this.sources.egress.refusalOf(url);
      if (refusal !== undefined) throw failed(`${redirects > 0 ? 'it redirects to another place, and there: ' : ''}${refusal}`, false);
      const response = await get(this.toOthers, new URL(url), request.limits, signal, {});
      if (!REDIRECTS.has(response.statusCode)) return await accepted(response, request.limits);
      await response.body.dump();
      url = nextOf(url, response.headers['location']);
    }
    throw failed(`it redirects more than ${MOST_REDIRECTS} times`, false);
  }
}

function get(agent: Agent, url: URL, limits: DownloadLimits, signal: AbortSignal, headers: Record<string, string>): Promise<Dispatcher.ResponseData> {
  return agent.request({
    origin: url.origin,
    path: url.pathname + url.search,
    method: 'GET',
    // What is hashed is the file itself, not what a server makes of it on the way.
    headers: { ...headers, 'accept-encoding': 'identity', 'user-agent': 'baton' },
    headersTimeout: limits.silenceMs,
    bodyTimeout: limits.silenceMs,
    signal,
  });
}

function nextOf(url: string, location: string | string[] | undefined): string {
  if (typeof location !== 'string' || !URL.canParse(location, url)) throw failed('it redirects to nowhere', false);
  const next = new URL(location, url);
  if (url.startsWith('https:') && next.protocol === 'http:') throw failed('it redirects from https to http', false);
  return next.href;
}

async function accepted({ statusCode, headers, body }: Dispatcher.ResponseData, limits: DownloadLimits): Promise<Opened> {
  const announced = Number(headers['content-length']);
  const totalBytes = Number.isSafeInteger(announced) && announced >= 0 ? announced : undefined;
  const refusal = statusCode !== 200 ? `HTTP ${statusCode}` : (totalBytes ?? 0) > limits.bytes ? tooLarge(limits) : undefined;
  if (refusal === undefined) return { body, totalBytes };
  body.on('error', () => undefined).destroy();
  throw failed(refusal, statusCode >= 500 || PASSING.has(statusCode));
}

async function write({ body, totalBytes }: Opened, { path, limits, onProgress, signal }: DownloadRequest): Promise<Downloaded> {
  const sha256 = createHash('sha256');
  const sha512 = createHash('sha512');
  const startedAt = Date.now();
  let bytes = 0;
  const output = await open(path, 'w', 0o600);
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      signal?.throwIfAborted();
      bytes += chunk.byteLength;
      if (bytes > limits.bytes) throw failed(tooLarge(limits), false);
      const seconds = (Date.now() - startedAt) / 1000;
      if (seconds * 1000 > limits.graceMs && bytes / seconds < limits.leastBytesPerSecond)
        throw failed(`it comes more slowly than ${limits.leastBytesPerSecond / 1024} KiB a second`, true);
      sha256.update(chunk);
      sha512.update(chunk);
      await output.writeFile(chunk);
      onProgress?.(bytes, totalBytes);
    }
    await output.chmod(0o444);
    await output.sync();
  } finally {
    await output.close();
  }
  return { bytes, sha256: sha256.digest('hex'), sha512: sha512.digest('hex') };
}

async function refuseWithoutRoom(path: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(dirname(path));
  if (bytes + RESERVED_BYTES > bavail * bsize) throw failed('the compute node has no room for it', true);
}

const tooLarge = ({ bytes }: DownloadLimits): string => `it is larger than the limit of ${bytes} bytes`;

const failed = (reason: string, retryable: boolean, cause?: unknown): HypervisorError =>
  new HypervisorError(`The image file cannot be downloaded: ${reason}.`.replace(/\.\.$/, '.'), retryable, {
    failure: retryable ? 'node' : 'image',
    ...(cause !== undefined && { cause }),
  });

const REASONS: Readonly<Record<string, string>> = {
  ENOTFOUND: 'the host name was not found',
  EAI_AGAIN: 'the host name could not be looked up',
  ECONNREFUSED: 'the connection was refused',
  ECONNRESET: 'the connection was closed before the end',
  UND_ERR_SOCKET: 'the connection was closed before the end',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'the connection was closed before the end',
  EHOSTUNREACH: 'the host is not reachable',
  ENETUNREACH: 'the host is not reachable',
  UND_ERR_CONNECT_TIMEOUT: 'the host did not accept the connection in time',
  ETIMEDOUT: 'the host did not accept the connection in time',
  ENOSPC: 'the compute node has no room for it',
};

function reasonOf(error: unknown, limits: DownloadLimits, tookTooLong: boolean): string {
  if (error instanceof EgressRefusedError) return error.message;
  if (tookTooLong) return `it took longer than ${limits.totalMs / 1000} s`;
  const code = String((error as { code?: unknown } | undefined)?.code ?? '');
  if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT') return `nothing came for ${limits.silenceMs / 1000} s`;
  if (/CERT|SSL|TLS|SELF_SIGNED|ALTNAME/.test(code)) return 'the TLS certificate or protocol of the host is not acceptable';
  return REASONS[code] ?? 'the download failed on the compute node';
}
