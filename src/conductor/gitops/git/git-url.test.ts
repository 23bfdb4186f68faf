import { describe, expect, it } from '@jest/globals';
import { EgressPolicy } from '../../egress/egress-policy.js';
import { checkRef } from './git-ref.js';
import { checkPath } from './git-tree.js';
import { parseGitUrl } from './git-url.js';

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

  it.each([
    'ext::sh -c touch% /tmp/owned',
    'ext::sh',
    'fd::17/foo',
    'file:///etc/passwd',
    'file://localhost/srv/git',
    '/etc/passwd',
    './x',
    '../../etc',
    'git://github.com/acme/cloud.git',
    'ftp://github.com/acme/cloud.git',
    'rsync://github.com/acme',
    'http+ext::sh',
    'https+git://github.com/x',
    '--upload-pack=touch /tmp/owned',
    '-u./payload',
    '-oProxyCommand=touch',
    'ssh://-oProxyCommand=touch/x',
    'ssh://-oProxyCommand=touch@github.com/x',
    'ssh://git@-oProxyCommand=id/x',
    'ssh://git@github.com/-x',
    'ssh://git@github.com/x;id',
    'ssh://git@github.com/$(id)',
    'ssh://git@github.com/`id`',
    "ssh://git@github.com/x'y",
    'ssh://git@github.com:99999/x',
    'ssh://git@github.com:0/x',
    'ssh://git:password@github.com/x',
    'git@github.com:-x',
    'git@github.com:x y',
    'git@-host:x',
    '-git@host.org:x',
    'git@github.com::x',
    'host.org:path',
    'C:\\repos\\cloud',
    'https://user:token@github.com/acme/cloud',
    'https://github.com/',
    'https://github.com/x?service=evil',
    'https://github.com/x#fragment',
    'https://github.com\\@127.0.0.1/x',
    'https://github.com/a b',
    'https://github.com/a\nb',
    'https://github.com/a\u0000b',
    'https://127.0.0.1/x',
    'https://169.254.169.254/latest',
    'https://[::ffff:10.0.0.1]/x',
    'http://2130706433/x',
    'ssh://git@10.0.0.1/x',
    'ssh://git@[::1]/x',
    'git@localhost:x',
    `https://github.com/${'x'.repeat(2_000)}`,
    '',
  ])('is refused: %j', (text) => expect(() => parseGitUrl(text, egress)).toThrow(expect.objectContaining({ status: 400 }) as unknown as Error));
});

describe('the ref of a Git repository', () => {
  it.each(['main', 'release/1.2', 'v1.0.0', 'refs/pull/12/head', 'ab'.repeat(20), 'user@topic', 'C#'])('is accepted: %s', (ref) =>
    expect(() => checkRef(ref)).not.toThrow(),
  );
  it.each(['', '-x', '--upload-pack=id', 'a..b', 'a b', 'a\nb', '/a', 'a/', 'a//b', 'a.lock', '.a', 'a/.b', 'a.', 'a~1', 'a^', 'a:b', 'a?', 'a*', 'a[', 'a\\b', '@', '@{-1}', '+main', 'x'.repeat(201)])(
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
