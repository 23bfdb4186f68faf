import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import pino from 'pino';
import { ImageCache, type ImageCacheOptions } from './image-cache.js';

const CONTENT = Buffer.alloc(300_000, 'baton');
const sha256 = createHash('sha256').update(CONTENT).digest('hex');

let folder: string;
let servers: Server[];
let requests: { url: string; headers: IncomingHttpHeaders }[];
let conductorUrl: string;

async function serve(answer: (url: string) => { status: number; location?: string; hang?: boolean }): Promise<string> {
  const server = createServer((request, response) => {
    const url = request.url ?? '';
    requests.push({ url, headers: request.headers });
    const { status, location, hang } = answer(url);
    response.writeHead(status, location ? { location } : {});
    if (hang) response.write(CONTENT.subarray(0, 1000));
    else response.end(status === 200 ? CONTENT : '');
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
    log: pino({ level: 'silent' }),
    ...options,
  });
  await cache.open();
  return cache;
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'baton-images-'));
  servers = [];
  requests = [];
  conductorUrl = await serve((url) => {
    if (url === '/moved') return { status: 302, location: '/image' };
    if (url === '/slow') return { status: 200, hang: true };
    return { status: url === '/image' ? 200 : url === '/broken' ? 503 : 404 };
  });
});

afterEach(async () => {
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
    await (await cacheOf()).ensure({ url: elsewhere.replace('http:', '') + '/image', sha256 });
    expect(requests.map(({ headers }) => headers.authorization)).toEqual(['Bearer node-key', undefined, undefined]);
  });

  it('does not follow the conductor to another place with the key of the node', async () => {
    await expect((await cacheOf()).ensure({ url: '/moved', sha256 })).rejects.toThrow('cannot be downloaded');
  });

  it.each<[string, string, Partial<ImageCacheOptions>, string, boolean]>([
    ['is not there', '/missing', {}, 'HTTP 404', false],
    ['cannot be had now', '/broken', {}, 'HTTP 503', true],
    ['is too large', '/image', { maxBytes: 1000 }, 'larger than the limit', false],
    ['takes too long', '/slow', { timeoutMs: 300 }, 'longer than 0.3 s', true],
    ['has an address of another kind', 'file:///etc/passwd', {}, 'http, https or relative', false],
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
