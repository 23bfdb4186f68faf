import { describe, expect, it } from '@jest/globals';
import { EgressPolicy } from '../../egress/egress-policy.js';
import { checkRef } from './git-ref.js';
import { checkPath } from './git-tree.js';
import { parseGitUrl } from './git-url.js';
import { HOSTILE_REFS, HOSTILE_URLS } from './hostile.fixture.js';

const egress = new EgressPolicy({ egressAllow: [] });

describe('the URL of a Git repository', () => {
  it.each([
    ['https://github.com/acme/cloud.git', 'github.com', 443],
    ['https://git.example.org:8443/a/b', 'git.example.org', 8443],
    ['http://git.example.org/a/b.git', 'git.example.org', 80],
    ['ssh://git@github.com/acme/cloud.git', 'github.com', 22],
    ['ssh://git.example.org:2222/srv/cloud', 'git.example.org', 2222],
    ['ssh://git@[2606:4700::1111]/x.git', '2606:4700::1111', 22],
    ['git@github.com:acme/cloud.git', 'github.com', 22],
  ])('is accepted: %s', (text, host, port) => expect(parseGitUrl(text, egress)).toMatchObject({ text, host, port }));

  it.each(HOSTILE_URLS)('is refused: %j', (text) => expect(() => parseGitUrl(text, egress)).toThrow(expect.objectContaining({ status: 400 }) as unknown as Error));
});

describe('the ref of a Git repository', () => {
  it.each(['main', 'release/1.2', 'v1.0.0', 'refs/pull/12/head', 'ab'.repeat(20), 'user@topic', 'C#'])('is accepted: %s', (ref) =>
    expect(() => checkRef(ref)).not.toThrow(),
  );
  it.each(HOSTILE_REFS)(
    'is refused: %j',
    (ref) => expect(() => checkRef(ref)).toThrow(expect.objectContaining({ status: 400 }) as unknown as Error),
  );
});

describe('the folder of a Git repository', () => {
  it.each([['', ''], ['/', ''], ['.', ''], ['/prod/', 'prod'], ['a/b c', 'a/b c']])('%j is read as %j', (path, plain) =>
    expect(checkPath(path)).toBe(plain),
  );
  it.each(['..', 'a/../b', '-x', 'a//b', 'a\u0000', 'a:b', 'a/./b', 'a\nb'])('is refused: %j', (path) =>
    expect(() => checkPath(path)).toThrow(expect.objectContaining({ status: 400 }) as unknown as Error),
  );
});
