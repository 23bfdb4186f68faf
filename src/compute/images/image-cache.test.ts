import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import pino from 'pino';
import { GuardedEgress } from '../../egress/guarded-egress.js';
import type { ImageId } from '../../protocol/ids.js';
import type { ImageOrder } from '../../protocol/image.js';
import { ImageCache, type ImageCacheOptions } from './image-cache.js';

const CONTENT = Buffer.alloc(300_000, 'baton');
const sha256 = createHash('sha256').update(CONTENT).digest('hex');

let folder: string;
let servers: Server[];
let requests: { url: string; headers: IncomingHttpHeaders }[];
let conductorUrl: string;
let caches: ImageCache[];

async function serve(answer: (url: string) => { status: number; location?: string; hang?: boolean; trickle?: boolean; content?: Buffer }): Promise<string> {
  const server = createServer((request, response) => {
    const url = request.url ?? '';
    requests.push({ url, headers: request.headers });
    const { status, location, hang, trickle, content = CONTENT } = answer(url);
    const length = status === 200 && !hang && !trickle ? { 'content-length': content.length } : {};
    response.writeHead(status, { ...length, ...(location && { location }) });
    if (hang) response.write(CONTENT.subarray(0, 1000));
    else if (trickle) {
      const drip = setInterval(() => response.write('.'), 20);
      response.on('close', () => clearInterval(drip));
    } else response.end(status === 200 ? content : '');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  servers.push(server);
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function cacheOf(options: Partial<ImageCacheOptions> = {}): Promise<ImageCache> {
  const cache = new ImageCache({
    folder,
    conductorUrl,
    conductorHeaders: () => ({ authorization: 'Bearer node-key' }),
    egress: new GuardedEgress(['127.0.0.0/8']),
    log: pino({ level: 'silent' }),
    ...options,
  });
  await cache.open();
  caches.push(cache);
  return cache;
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'baton-images-'));
  servers = [];
  caches = [];
  requests = [];
  conductorUrl = await serve((url) => {
    if (url === '/moved') return { status: 302, location: '/image' };
    if (url === '/slow') return { status: 200, hang: true };
    if (url === '/trickle') return { status: 200, trickle: true };
    return { status: url === '/image' ? 200 : url === '/broken' ? 503 : 404 };
  });
});

afterEach(async () => {
  await Promise.all(caches.map((cache) => cache.close()));
  for (const server of servers) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
  await rm(folder, { recursive: true, force: true });
});

describe('the image cache', () => {
  it('keeps a file under its checksum, read-only, and fetches it once', async () => {
    const cache = await cacheOf();
    const path = await cache.ensure({ url: '/image', sha256 });
    expect(path).toBe(join(folder, sha256));
    expect(await readFile(path)).toEqual(CONTENT);
    expect((await stat(path)).mode & 0o777).toBe(0o444);
    expect(await cache.ensure({ url: '/image', sha256 })).toBe(path);
    expect(requests).toHaveLength(1);
  });

  it('shares one download among those who ask at the same time', async () => {
    const cache = await cacheOf();
    await Promise.all(Array.from({ length: 5 }, () => cache.ensure({ url: '/image', sha256 })));
    expect(requests).toHaveLength(1);
  });

  it('shows the key of the node to the conductor and to nobody else', async () => {
    const elsewhere = await serve(() => ({ status: 200 }));
    await (await cacheOf()).ensure({ url: '/image', sha256 });
    await rm(join(folder, sha256), { force: true });
    await (await cacheOf()).ensure({ url: `${elsewhere}/image`, sha256 });
    await rm(join(folder, sha256), { force: true });
    await expect((await cacheOf()).ensure({ url: elsewhere.replace('http:', '') + '/image', sha256 })).rejects.toThrow('absolute');
    expect(requests.map(({ headers }) => headers.authorization)).toEqual(['Bearer node-key', undefined]);
  });

  it('does not follow the conductor to another place with the key of the node', async () => {
    await expect((await cacheOf()).ensure({ url: '/moved', sha256 })).rejects.toThrow('cannot be downloaded');
  });

  it.each<[string, string, Partial<ImageCacheOptions>, string, boolean]>([
    ['is not there', '/missing', {}, 'HTTP 404', false],
    ['cannot be had now', '/broken', {}, 'HTTP 503', true],
    ['is too large', '/image', { limits: { bytes: 1000 } }, 'larger than the limit', false],
    ['takes too long', '/slow', { limits: { totalMs: 300 } }, 'longer than 0.3 s', true],
    ['falls silent', '/slow', { limits: { silenceMs: 300 } }, 'nothing came for 0.3 s', true],
    ['trickles', '/trickle', { limits: { graceMs: 100 } }, 'more slowly than 64 KiB a second', true],
    ['has an address of another kind', 'file:///etc/passwd', {}, 'must be absolute and begin with http', false],
  ])('refuses a file that %s and leaves nothing', async (_what, url, options, message, retryable) => {
    const refused = (await cacheOf(options)).ensure({ url, sha256 });
    await expect(refused).rejects.toMatchObject({ message: expect.stringContaining(message), retryable });
    expect(await readdir(folder)).toEqual([]);
  });

  it('refuses a file with another content than promised, and fetches it anew the next time', async () => {
    const cache = await cacheOf();
    const wrong = 'a'.repeat(64);
    await expect(cache.ensure({ url: '/image', sha256: wrong })).rejects.toThrow(`but ${wrong} was expected`);
    expect(await readdir(folder)).toEqual([]);
    await expect(cache.ensure({ url: '/image', sha256 })).resolves.toBeDefined();
  });

  it('refuses a checksum that would lead out of its folder', async () => {
    await expect((await cacheOf()).ensure({ url: '/image', sha256: '../../etc/passwd' })).rejects.toThrow('not a SHA-256');
    expect(requests).toEqual([]);
  });

  it('clears away what a crash left half done', async () => {
    await writeFile(join(folder, `${sha256}.x.partial`), 'half');
    await cacheOf();
    expect(await readdir(folder)).toEqual([]);
  });
});

describe('an image that nobody has looked at yet', () => {
  const order = (change: Partial<ImageOrder> = {}): ImageOrder => ({
    imageId: 1 as ImageId,
    attempt: 1,
    url: `${conductorUrl}/image`,
    format: 'raw',
    checksum: { algorithm: 'sha256', digest: sha256 },
    mostBytes: 2 ** 20,
    mostVirtualBytes: 2 ** 30,
    ...change,
  });
  const never = new AbortController().signal;
  const check = async (change: Partial<ImageOrder> = {}, options: Partial<ImageCacheOptions> = {}) =>
    (await cacheOf(options)).check(order(change), undefined, never);

  it('is downloaded, checked and kept, and its progress is told', async () => {
    const seen: [number, number | undefined][] = [];
    const found = await (await cacheOf()).check(order(), (bytes, total) => seen.push([bytes, total]), never);
    expect(found).toEqual({ sha256, bytes: CONTENT.length, virtualBytes: CONTENT.length });
    expect(seen.at(-1)).toEqual([CONTENT.length, CONTENT.length]);
    expect(await readdir(folder)).toEqual([sha256]);
    expect(requests[0]!.headers.authorization).toBeUndefined();
  });

  it('may be known by its SHA-512', async () => {
    const digest = createHash('sha512').update(CONTENT).digest('hex');
    expect(await check({ checksum: { algorithm: 'sha512', digest } })).toMatchObject({ sha256 });
  });

  it('is downloaded although a file of the same content is here: its checksum alone opens nothing', async () => {
    await writeFile(join(folder, sha256), CONTENT);
    await expect(check({ url: `${conductorUrl}/missing` })).rejects.toThrow('HTTP 404');
    expect(await readdir(folder)).toEqual([sha256]);
  });

  it.each<[string, (url: string) => Partial<ImageOrder>, string]>([
    ['another content than promised', () => ({ checksum: { algorithm: 'sha256', digest: 'a'.repeat(64) } }), 'was expected'],
    ['another format than declared', () => ({ format: 'qcow2' }), 'it is not a qcow2 file'],
    ['a disk larger than allowed', () => ({ mostVirtualBytes: 100_000 }), 'at most'],
    ['a file larger than allowed', () => ({ mostBytes: 1000 }), 'larger than the limit of 1000 bytes'],
    ['an address that redirects for ever', (url) => ({ url: `${url}/loop` }), 'more than 5 times'],
    ['an address that redirects to a private one', (url) => ({ url: `${url}/inwards` }), 'private or reserved'],
    ['an address that redirects to a file', (url) => ({ url: `${url}/file` }), 'absolute and begin with http'],
    ['a private address', () => ({ url: 'http://169.254.169.254/latest/meta-data' }), 'private or reserved'],
    ['a path of the conductor, where the node has a key', () => ({ url: '/image' }), 'absolute and begin with http'],
  ])('is refused with %s, and nothing is left', async (_what, change, message) => {
    const elsewhere = await serve((url) => {
      if (url === '/loop') return { status: 302, location: '/loop' };
      if (url === '/inwards') return { status: 307, location: 'http://10.0.0.1/' };
      if (url === '/file') return { status: 301, location: 'file:///etc/passwd' };
      return { status: 404 };
    });
    await expect(check(change(elsewhere))).rejects.toMatchObject({ message: expect.stringContaining(message), retryable: false });
    expect(await readdir(folder)).toEqual([]);
  });

  it('is followed to where it redirects, without anything that is ours', async () => {
    const elsewhere = await serve((url) => (url === '/away' ? { status: 302, location: `${conductorUrl}/image` } : { status: 404 }));
    expect(await check({ url: `${elsewhere}/away` })).toMatchObject({ sha256 });
    expect(requests.map(({ headers }) => headers.authorization)).toEqual([undefined, undefined]);
  });

  it('is let go of when it is no longer wanted', async () => {
    const stop = new AbortController();
    const work = (await cacheOf()).check(order({ url: `${conductorUrl}/slow` }), () => stop.abort(), stop.signal);
    await expect(work).rejects.toThrow();
    expect(await readdir(folder)).toEqual([]);
  });
});

describe('unused image files', () => {
  const DAY = 24 * 3600;
  const [old, older, used, fresh] = ['1', '2', '3', '4'].map((digit) => digit.repeat(64)) as [string, string, string, string];

  beforeEach(async () => {
    for (const [name, days] of [[old, 1], [older, 2], [used, 9], [fresh, 0]] as const) {
      await writeFile(join(folder, name), CONTENT);
      await utimes(join(folder, name), Date.now() / 1000 - days * DAY, Date.now() / 1000 - days * DAY);
    }
  });

  it('go when there are too many, the longest unused first, but never those that disks stand on', async () => {
    expect(await (await cacheOf()).evict(new Set([used]), 3 * CONTENT.length)).toEqual([older]);
    expect(await (await cacheOf()).evict(new Set([used]), 0)).toEqual([old]);
    expect((await readdir(folder)).sort()).toEqual([used, fresh]);
  });

  it('go after a week in any case', async () => {
    expect(await (await cacheOf()).evict(new Set(), 2 ** 40)).toEqual([used]);
  });

  it('stay when they are asked for again', async () => {
    const cache = await cacheOf();
    await cache.ensure({ url: '/image', sha256: used });
    expect(requests).toEqual([]);
    expect(await cache.evict(new Set(), 2 ** 40)).toEqual([]);
  });
});
