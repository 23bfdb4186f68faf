/** Fetching from a real Git server on loopback, by smart HTTP and by ssh, and what hostile ones may do. */
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { readdir, rm } from 'node:fs/promises';
import { EgressPolicy } from '../src/conductor/egress/egress-policy.js';
import { GitFetcher, type GitSnapshot, type GitSource } from '../src/conductor/gitops/git/git-fetcher.js';
import { GIT_LIMITS } from '../src/conductor/gitops/git/git-process.js';
import { GitServer, type GitClone } from './fixtures/git-server.js';
import { scratchFolder } from './support/scratch.js';

jest.setTimeout(60_000);

const loopback = new EgressPolicy({ egressAllow: ['127.0.0.0/8'] });
const fetcher = new GitFetcher(loopback);

const { TMPDIR } = process.env;
let scratch: string;
beforeAll(async () => (process.env.TMPDIR = scratch = await scratchFolder('git-fetch')));
afterAll(async () => {
  process.env.TMPDIR = TMPDIR;
  await rm(scratch, { recursive: true });
});
afterEach(async () => {
  const left = await readdir(scratch);
  expect(left.filter((name) => name.startsWith('baton-git-'))).toEqual([]);
});

async function snapshot(source: Partial<GitSource> & Pick<GitSource, 'url'>): Promise<GitSnapshot> {
  const fetched = await fetcher.fetch({ ref: 'main', path: '', ...source });
  if (fetched === 'unchanged') throw new Error('the repository was said to be unchanged');
  return fetched;
}

const texts = ({ files }: GitSnapshot): Record<string, string> =>
  Object.fromEntries([...files].map(([path, content]) => [path, content.toString()]));

describe('a Git repository', () => {
  let server: GitServer;
  let clone: GitClone;
  let first: string;
  let second: string;

  beforeAll(async () => {
    server = await GitServer.start();
    clone = await server.repository('cloud');
    first = await clone.push({ 'prod/web.yaml': 'one', 'prod/boot.sh': '#!/bin/sh\n', 'README.md': 'Hello' }, 'Begin');
    second = await clone.push({ 'prod/web.yaml': 'two' }, 'Grow\n\nBecause of load.');
  });
  afterAll(async () => await server.stop());
  afterEach(() => (server.answerInstead = undefined));

  it('gives the files of its branch, with who committed them and why', async () => {
    const fetched = await snapshot({ url: server.httpUrl('cloud') });
    expect(texts(fetched)).toEqual({ 'README.md': 'Hello', 'prod/boot.sh': '#!/bin/sh\n', 'prod/web.yaml': 'two' });
    expect(fetched.commit).toEqual({
      id: second,
      author: 'Ada <ada@example.org>',
      message: 'Grow',
      committedAt: expect.any(Date) as unknown,
    });
    expect(Math.abs(Date.now() - fetched.commit.committedAt.getTime())).toBeLessThan(600_000);
  });

  it('gives one folder of it, by paths from the root', async () => {
    const fetched = await snapshot({ url: server.httpUrl('cloud'), path: '/prod/' });
    expect(Object.keys(texts(fetched))).toEqual(['prod/boot.sh', 'prod/web.yaml']);
  });

  it('costs one question when nothing has moved', async () => {
    server.requests.length = 0;
    const answer = await fetcher.fetch({ url: server.httpUrl('cloud'), ref: 'main', path: '', knownCommit: second });
    expect(answer).toBe('unchanged');
    expect(server.requests.map(({ path }) => path)).not.toContain('/cloud.git/objects');
    expect(server.requests.length).toBeLessThanOrEqual(2);
  });

  it('goes back to a commit that is not the newest', async () => {
    const fetched = await snapshot({ url: server.httpUrl('cloud'), ref: first });
    expect(texts(fetched)['prod/web.yaml']).toBe('one');
  });

  it('follows a branch that was rewritten', async () => {
    const rewritten = await server.repository('rewritten');
    await rewritten.push({ 'a.yaml': 'old' });
    await rewritten.git('checkout', '--quiet', '--orphan', 'anew');
    const head = await rewritten.push({ 'a.yaml': 'new' });
    expect((await snapshot({ url: server.httpUrl('rewritten') })).commit.id).toBe(head);
  });

  it('is read at an annotated tag, and at a full ref', async () => {
    await clone.git('tag', '-a', 'v1', '-m', 'One', first);
    await clone.pushRef('refs/tags/v1');
    await clone.git('update-ref', 'refs/pull/7/head', first);
    await clone.pushRef('refs/pull/7/head');
    expect((await snapshot({ url: server.httpUrl('cloud'), ref: 'v1' })).commit.id).toBe(first);
    expect((await snapshot({ url: server.httpUrl('cloud'), ref: 'refs/pull/7/head' })).commit.id).toBe(first);
  });

  it('says that a branch is gone, and that a folder is', async () => {
    const url = server.httpUrl('cloud');
    await expect(snapshot({ url, ref: 'gone' })).rejects.toMatchObject({ problem: 'no_ref', message: expect.stringContaining('gone') as unknown });
    await expect(snapshot({ url, path: 'nowhere' })).rejects.toMatchObject({ problem: 'no_path' });
    await expect(snapshot({ url, ref: 'ab'.repeat(20) })).rejects.toMatchObject({ problem: 'no_ref' });
  });

  it('that is not there is told apart from a server that is not', async () => {
    await expect(snapshot({ url: server.httpUrl('nothing') })).rejects.toMatchObject({ problem: 'no_repository' });
    await expect(snapshot({ url: 'http://127.0.0.1:9/x.git' })).rejects.toMatchObject({ problem: 'unreachable' });
    await expect(snapshot({ url: 'https://no-such-host.invalid/x.git' })).rejects.toMatchObject({ problem: 'unreachable' });
  });

  it('is never followed to where it redirects', async () => {
    const other = await GitServer.start();
    server.answerInstead = (request, response) =>
      response.writeHead(302, { location: `${other.httpUrl('cloud')}${request.url!.replace(/^\/cloud.git/, '')}` }).end();
    await expect(
      snapshot({ url: server.httpUrl('cloud'), credentials: { kind: 'token', token: 'secret' } }),
    ).rejects.toMatchObject({ problem: 'redirected' });
    expect(other.requests).toEqual([]);
    await other.stop();
  });

  it('may hold symbolic links, submodules, hooks and large files, none of which are read', async () => {
    const strange = await server.repository('strange');
    await strange.push({
      'web.yaml': 'fine',
      'passwd.yaml': { link: '/etc/passwd' },
      'up.yaml': { link: '../../../../etc/hostname' },
      '.git-hooks/post-checkout': '#!/bin/sh\ntouch /tmp/baton-owned',
      '.gitattributes': '* filter=evil diff=evil',
      'large.yaml': Buffer.alloc(50 * 1024 * 1024),
    });
    await strange.git('update-index', '--add', '--cacheinfo', `160000,${'ab'.repeat(20)},module`);
    await strange.git('commit', '--quiet', '-m', 'A submodule');
    await strange.git('push', '--quiet', '--force', `${server.folder}/strange.git`, 'HEAD:refs/heads/main');

    const fetched = await snapshot({ url: server.httpUrl('strange') });
    expect(fetched.files.get('web.yaml')?.toString()).toBe('fine');
    expect(Object.fromEntries(fetched.skipped)).toEqual({
      'passwd.yaml': 'no regular file',
      'up.yaml': 'no regular file',
      'large.yaml': 'larger than 1024 KiB',
      module: 'a submodule',
    });
  });

  it('with more than can be stored is given up, and leaves nothing', async () => {
    const huge = await server.repository('huge');
    await huge.push({ 'noise.bin': randomBytes(3 * 1024 * 1024) });
    const strict = new GitFetcher(loopback, { ...GIT_LIMITS, largestFileBytes: 2 * 1024 * 1024 });
    await expect(strict.fetch({ url: server.httpUrl('huge'), ref: 'main', path: '' })).rejects.toMatchObject({ problem: 'too_large' });
  });

  it('that never answers is given up when the caller loses patience, with no process left', async () => {
    server.answerInstead = () => undefined;
    const impatient = new AbortController();
    const fetching = fetcher.fetch({ url: server.httpUrl('cloud'), ref: 'main', path: '' }, impatient.signal);
    setTimeout(() => impatient.abort(), 300);
    await expect(fetching).rejects.toMatchObject({ problem: 'too_slow' });
  });

  it('that answers nonsense is broken, and its words are not repeated', async () => {
    server.answerInstead = (_request, response) =>
      response.writeHead(200, { 'content-type': 'application/x-git-upload-pack-advertisement' }).end('<script>/etc/passwd');
    await expect(snapshot({ url: server.httpUrl('cloud') })).rejects.toMatchObject({
      message: expect.not.stringContaining('passwd') as unknown,
    });
  });
});

describe('a private Git repository', () => {
  let server: GitServer;
  let head: string;
  beforeAll(async () => {
    server = await GitServer.start({ token: 'glpat-right' });
    head = await (await server.repository('private')).push({ 'web.yaml': 'secret' });
  });
  afterAll(async () => await server.stop());

  it('opens to its token, and to no other', async () => {
    const url = server.httpUrl('private');
    expect((await snapshot({ url, credentials: { kind: 'token', token: 'glpat-right' } })).commit.id).toBe(head);
    await expect(snapshot({ url, credentials: { kind: 'token', token: 'wrong' } })).rejects.toMatchObject({ problem: 'unauthorized' });
    await expect(snapshot({ url })).rejects.toMatchObject({ problem: 'unauthorized' });
  });

  it('opens to its deploy key over ssh, and to no other', async () => {
    const url = server.sshUrl('private');
    const credentials = { kind: 'deploy_key', privateKey: server.deployKey } as const;
    expect((await snapshot({ url, credentials })).commit.id).toBe(head);
    const other = await GitServer.start();
    await expect(snapshot({ url, credentials: { kind: 'deploy_key', privateKey: other.deployKey } })).rejects.toMatchObject({
      problem: 'unauthorized',
    });
    await expect(snapshot({ url, credentials: { kind: 'deploy_key', privateKey: 'not a key' } })).rejects.toMatchObject({
      problem: 'unauthorized',
    });
    await other.stop();
  });

  it('is held to the host key that it showed first', async () => {
    const credentials = { kind: 'deploy_key', privateKey: server.deployKey } as const;
    const { hostKeys } = await snapshot({ url: server.sshUrl('private'), credentials });
    expect((await snapshot({ url: server.sshUrl('private'), credentials, hostKeys })).commit.id).toBe(head);
    const impostor = hostKeys!.replace(/AAAA\S+/, (key) => `${key.slice(0, -20)}${'A'.repeat(17)}${key.slice(-3)}`);
    await expect(snapshot({ url: server.sshUrl('private'), credentials, hostKeys: impostor })).rejects.toMatchObject({
      problem: 'host_key_changed',
    });
  });
});

describe('a Git URL', () => {
  it('reaches no private address that the operator did not open, by name or by number', async () => {
    const strict = new GitFetcher(new EgressPolicy({ egressAllow: [] }));
    await expect(strict.fetch({ url: 'http://127.0.0.1:80/x.git', ref: 'main', path: '' })).rejects.toThrow('private or reserved');
    await expect(strict.fetch({ url: 'ssh://git@127.0.0.1/x.git', ref: 'main', path: '' })).rejects.toThrow('private or reserved');
    await expect(strict.fetch({ url: 'git@localhost:x.git', ref: 'main', path: '' })).rejects.toThrow('private or reserved');
  });
});
