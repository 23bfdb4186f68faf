/** The client commands for desired state, against a cloud and a real Git server. */
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run as apply } from '../src/cli/commands/apply.js';
import type { Run } from '../src/cli/commands/command.js';
import * as gitops from '../src/cli/commands/gitops.js';
import { parseCommandLine } from '../src/cli/command-line.js';
import { fsck } from '../src/conductor/admin/fsck.js';
import { GitServer, type GitClone } from './fixtures/git-server.js';
import { startCloud, type Cloud } from './support/cloud.js';
import { eventually } from './support/eventually.js';
import { vmDocument } from './support/gitops-client.js';
import { scratchFolder } from './support/scratch.js';
import { VmClient } from './support/vm-client.js';

const TOKEN = 'a-token-of-the-forge';

let cloud: Cloud;
let vms: VmClient;
let server: GitServer;
let folder: string;

beforeAll(async () => {
  server = await GitServer.start({ token: TOKEN });
  cloud = await startCloud({ settings: { BATON_EGRESS_ALLOW: '127.0.0.0/8', BATON_SECRET_KEY: randomBytes(32).toString('base64') } });
  vms = new VmClient(cloud);
  folder = await scratchFolder('gitops-commands');
  await writeFile(join(folder, 'token'), `${TOKEN}\n`);
  await writeFile(join(folder, 'key'), server.deployKey);
}, 60_000);

afterAll(async () => {
  expect(await fsck(cloud.database)).toEqual([]);
  await cloud.stop();
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

const COMMANDS: Readonly<Record<string, Run>> = { apply, ...Object.fromEntries(Object.entries(gitops).map(([name, run]) => [`gitops ${name}`, run as Run])) };

/** @returns what the command prints, and its exit code after that when it is none of success. */
async function baton(...args: string[]): Promise<string> {
  const { command, flags } = parseCommandLine(args);
  const printed: string[] = [];
  const write = jest.spyOn(process.stdout, 'write').mockImplementation((text) => printed.push(String(text)) > 0);
  try {
    const code = await COMMANDS[command]!({ flags, environment: { BATON_URL: cloud.url, BATON_API_KEY: cloud.demo.key } });
    if (typeof code === 'number' && code !== 0) printed.push(`exit ${code}`);
  } finally {
    write.mockRestore();
  }
  return printed.join('');
}

const repository = async (name: string, files: Readonly<Record<string, string>>): Promise<GitClone> => {
  const clone = await server.repository(name);
  await clone.push(files);
  return clone;
};

describe('the commands for Git repositories', () => {
  it.each(['http', 'ssh'] as const)('follow one over %s, from its first commit to its removal', async (transport) => {
    const name = `over-${transport}`;
    const clone = await repository(name, { 'web.yaml': vmDocument(`web-${transport}`) });
    const [url, credentials] = transport === 'http' ? [server.httpUrl(name), ['--token-file', join(folder, 'token')]] : [server.sshUrl(name), ['--key-file', join(folder, 'key')]];
    const added = await baton('gitops', 'add', url, '--prune', '--poll', '3600', ...credentials);
    expect(added).toMatch(new RegExp(`^${name} is followed. .*\nTo have pushes seen at once, let the forge tell ${cloud.url}/gitops/git-repo/\\d+/github-webhook\nsigned with the secret \\S+ \\(it is not shown again\\).\n$`));
    await eventually(async () => expect(await baton('gitops', 'list')).toMatch(new RegExp(`^${name} +SYNCED +${url} +main +[0-9a-f]{12} +1$`, 'm')), 20_000);
    const first = await clone.head();
    await clone.push({ 'web.yaml': vmDocument(`web-${transport}`, { labels: 'blue' }) });
    expect(await baton('gitops', 'plan', name, '--ref', 'main')).toBe(`update VirtualMachine demo/web-${transport} (labels)\n1 to do, 0 as they shall be, 0 problems.\n`);
    expect(await baton('gitops', 'diff', name, '--ref', 'main')).toBe(`update VirtualMachine demo/web-${transport}\n  - labels: []\n  + labels: ["blue"]\nexit 1`);
    expect(await baton('gitops', 'sync', name)).toMatch(new RegExp(`^Syncing ${name}\nsucceeded: commit [0-9a-f]{12} by Ada <ada@example.org>: Change it \\(manual, .* s\\)\n  done: update VirtualMachine demo/web-${transport}\n$`));
    expect(await baton('gitops', 'diff', name)).toBe('');
    expect(await baton('gitops', 'pause', name)).toBe(`${name} is paused\n`);
    await expect(baton('gitops', 'sync', name)).rejects.toThrow(`${name} is paused. Resume it first.`);
    expect(await baton('gitops', 'resume', name)).toBe(`${name} follows its branch\n`);
    expect(await baton('gitops', 'rollback', name, '--commit', first.slice(0, 9))).toContain(`Rolling back to ${first}\nsucceeded: `);
    expect(await baton('gitops', 'show', name)).toMatch(new RegExp(`^${name}: SYNCED, main of ${url}\nRolled back to ${first}; resume it to follow main again.\n[^]*VirtualMachine +demo +web-${transport} +\\d+ +web.yaml:2\n`));
    expect(await baton('gitops', 'remove', name)).toBe(`${name} was removed. What it made stays.\n`);
    const left = (await vms.get(`/demo/web-${transport}`)).body.instance;
    await vms.delete(`/${left.id}`);
    await vms.gone(left.id);
  }, 90_000);

  it('say file, line and field of what is wrong in a manifest, in the order of the file', async () => {
    await repository('wrong', { 'all.yaml': `apiVersion: baton/v1\nkind: Volume\nmetadata: { name: data, environment: demo }\nspec:\n  size: 0\n  typ: x\n---\napiVersion: baton/v1\nkind: VirtualMachine\nmetadata: { name: 1, environment: demo }\nspec: { flavor: tiny-1, keypairs: [], image: tiny }\n` });
    await baton('gitops', 'add', server.httpUrl('wrong'), '--mode', 'plan', '--token-file', join(folder, 'token'));
    await eventually(async () => expect(await baton('gitops', 'list')).toMatch(/^wrong +PLANNED /m), 20_000);
    expect(await baton('gitops', 'plan', 'wrong')).toBe(
      'PROBLEM all.yaml:5: spec.size: must be at least 1\n' +
        'PROBLEM all.yaml:6: spec.typ: is not a known field\n' +
        'PROBLEM all.yaml:10: metadata.name: must be text: put it in quotes where YAML takes it for something else\n' +
        'PROBLEM all.yaml:11: spec.keypairs: must have at least 1 items\n' +
        '0 to do, 0 as they shall be, 4 problems.\nexit 1',
    );
    await baton('gitops', 'remove', 'wrong');
  }, 30_000);

  it('change its settings: a token that was wrong, and from planning to applying', async () => {
    await repository('settings', { 'web.yaml': vmDocument('set') });
    await writeFile(join(folder, 'wrong-token'), 'not-the-token');
    await baton('gitops', 'add', server.httpUrl('settings'), '--mode', 'plan', '--token-file', join(folder, 'wrong-token'));
    await eventually(async () => expect(await baton('gitops', 'show', 'settings')).toContain('refused the credentials'), 20_000);
    await baton('gitops', 'set', 'settings', '--token-file', join(folder, 'token'));
    await eventually(async () => expect(await baton('gitops', 'list')).toMatch(/^settings +PLANNED /m), 20_000);
    expect(await baton('gitops', 'set', 'settings', '--mode', 'apply', '--prune')).toBe('settings is changed. See what comes of it with: baton gitops show settings\n');
    await eventually(async () => expect(await baton('gitops', 'list')).toMatch(/^settings +SYNCED /m), 20_000);
    await baton('gitops', 'set', 'settings', '--no-prune', '--environments', 'demo');
    const { git_repos } = (await cloud.request('GET', '/gitops/git-repo')).body;
    expect(git_repos.find(({ name }: { name: string }) => name === 'settings')).toMatchObject({ mode: 'apply', prune: false, environments: ['demo'], has_credentials: true });
    await expect(baton('gitops', 'set', 'settings')).rejects.toThrow('Say what shall change.');
    await baton('gitops', 'remove', 'settings');
    const left = (await vms.get('/demo/set')).body.instance;
    await vms.delete(`/${left.id}`);
    await vms.gone(left.id);
  }, 60_000);

  it('end when there is nothing to wait for: it cannot be fetched any more', async () => {
    await repository('gone', {});
    await baton('gitops', 'add', server.httpUrl('gone'), '--mode', 'plan', '--token-file', join(folder, 'token'));
    await eventually(async () => expect(await baton('gitops', 'list')).toMatch(/^gone +PLANNED /m), 20_000);
    await rm(join(server.folder, 'gone.git'), { recursive: true });
    await expect(baton('gitops', 'sync', 'gone')).rejects.toThrow('gone could not be fetched: There is no repository at this URL');
    await baton('gitops', 'remove', 'gone');
  }, 40_000);

  it('say what is missing', async () => {
    await expect(baton('gitops', 'plan', 'nowhere')).rejects.toThrow("There is no repository 'nowhere'. List them with: baton gitops list");
    await expect(baton('gitops', 'rollback', 'nowhere')).rejects.toThrow('Say to which --commit.');
    expect(() => parseCommandLine(['gitops'])).toThrow("'gitops' needs more: one of add, set, list, show, plan, diff, sync, pause, resume, rollback, remove.");
    await expect(baton('gitops', 'add', server.httpUrl('wrong'), '--token-file', 'a', '--key-file', 'b')).rejects.toThrow('Give either --token-file or --key-file.');
    await expect(baton('gitops', 'add', 'file:///etc')).rejects.toThrow('https');
  });
});

describe('the command that applies a folder', () => {
  it('says what it would do, does it, and takes away what is gone with --prune', async () => {
    const manifest = join(folder, 'manifest');
    await mkdir(join(manifest, 'files'), { recursive: true });
    await writeFile(join(manifest, 'files', 'boot.sh'), '#!/bin/sh\n');
    await writeFile(join(manifest, 'all.yaml'), vmDocument('one', { more: ', count: 2, user_data_file: files/boot.sh' }));
    expect(await baton('apply', '-f', manifest, '--dry-run')).toBe('create VirtualMachine demo/one-1\ncreate VirtualMachine demo/one-2\n2 to do, 0 as they shall be, 0 problems.\n');
    expect(await baton('apply', '-f', manifest)).toMatch(/succeeded: commit .* by demo@localhost: Applied without Git \(apply, .* s\)\n  done: create VirtualMachine demo\/one-1\n  done: create VirtualMachine demo\/one-2\n$/);
    await writeFile(join(manifest, 'all.yaml'), '');
    expect(await baton('apply', '-f', manifest)).toContain('kept VirtualMachine demo/one-1, which is no longer declared');
    expect(await baton('apply', '-f', manifest, '--prune')).toContain('done: delete VirtualMachine demo/one-2');
    expect(await vms.count()).toBe(0);
    await expect(baton('apply', '-f', join(folder, 'nowhere'))).rejects.toThrow('There is no folder');
    await expect(baton('apply')).rejects.toThrow('Say which folder with -f DIR.');
  }, 40_000);
});
