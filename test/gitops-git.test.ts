/** Git as desired state, from a real Git server on loopback: what is pushed is what the cloud becomes. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { createHmac, randomBytes } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import { fsck } from '../src/conductor/admin/fsck.js';
import { GitServer } from './fixtures/git-server.js';
import { WebhookReceiver } from './fixtures/webhook-receiver.js';
import { startCloud, type Cloud, type Json } from './support/cloud.js';
import { eventually } from './support/eventually.js';
import { GitopsRepository, toldActions as told, vmDocument as vm } from './support/gitops-client.js';
import { VmClient } from './support/vm-client.js';

const TOKEN = 'ghp_of_the_test';

let cloud: Cloud;
let server: GitServer;
let receiver: WebhookReceiver;
let vms: VmClient;

beforeAll(async () => {
  server = await GitServer.start({ token: TOKEN });
  receiver = await WebhookReceiver.start();
  cloud = await startCloud({
    conductors: 2,
    nodes: 2,
    settings: { BATON_EGRESS_ALLOW: '127.0.0.0/8', BATON_SECRET_KEY: randomBytes(32).toString('base64') },
  });
  vms = new VmClient(cloud);
  await cloud.database.query(
    `INSERT INTO flavor (region_id, name, cpu, ram_mib, disk, gpu, gpu_count) SELECT id, 'tiny-2', 2, 512, 2, '', 0 FROM region`,
  );
  await cloud.database.query(
    `INSERT INTO image (region_id, name, type, version, description, size_bytes, files)
     SELECT region_id, 'tiny-next', type, version, description, size_bytes, files FROM image WHERE name = 'tiny'`,
  );
}, 60_000);

/** What a repository made stays when it is removed. */
afterEach(async () => {
  for (const { id } of (await cloud.request('GET', '/gitops/git-repo')).body.git_repos) await cloud.request('DELETE', `/gitops/git-repo/${id}`);
  const left = (await vms.get('')).body.instances;
  for (const { id } of left) await eventually(async () => expect((await vms.delete(`/${id}`)).status).toBe(200));
  for (const { id } of left) await vms.gone(id);
});

afterAll(async () => {
  expect(await fsck(cloud.database)).toEqual([]);
  await cloud.stop();
  await server.stop();
  await receiver.stop();
});

const add = (change: object = {}, first: Readonly<Record<string, string>> = {}): Promise<GitopsRepository> =>
  GitopsRepository.add(cloud, server, change, first);

const named = async (name: string): Promise<Json> => (await vms.get(`/demo/${name}`)).body.instance;

describe('a repository', () => {
  it('makes what is pushed, and changes, resizes, replaces, renames, deletes and reverts it', async () => {
    const repository = await add({}, { 'web.yaml': vm('web') });
    const first = await repository.ended(await repository.clone.head());
    expect(first).toMatchObject({ state: 'succeeded', trigger: 'created', author: 'Ada <ada@example.org>', message: 'Begin' });
    expect(told(first)).toEqual(['create VirtualMachine demo/web done']);
    const web = await named('web');
    expect(web.status).toBe('ACTIVE');

    expect(told(await repository.push({ 'web.yaml': vm('web', { labels: 'blue' }) }))).toEqual(['update VirtualMachine demo/web labels done']);
    expect(await named('web')).toMatchObject({ id: web.id, labels: ['blue'] });
    expect(told(await repository.push({ 'web.yaml': vm('web', { labels: 'blue', flavor: 'tiny-2' }) }))).toEqual(['update VirtualMachine demo/web flavor done']);
    expect(await named('web')).toMatchObject({ id: web.id, flavor: { name: 'tiny-2' }, status: 'ACTIVE' });
    await repository.push({ 'web.yaml': vm('web', { flavor: 'tiny-2', image: 'tiny-next' }) });
    const replaced = await named('web');
    expect([replaced.id === web.id, replaced.image.name, replaced.status]).toEqual([false, 'tiny-next', 'ACTIVE']);
    await repository.push({ 'web.yaml': vm('www', { flavor: 'tiny-2', image: 'tiny-next' }) });
    expect([(await named('www')).status, await named('web')]).toEqual(['ACTIVE', undefined]);
    await repository.push({ 'web.yaml': null });
    expect(await vms.count()).toBe(0);
    await repository.clone.git('revert', '--no-edit', 'HEAD');
    const reverted = await repository.push({}, 'Bring it back');
    expect([reverted.state, (await named('www')).status]).toEqual(['succeeded', 'ACTIVE']);
    const { resources } = (await cloud.request('GET', `/gitops/git-repo/${repository.id}/resources`)).body;
    expect(resources).toEqual([expect.objectContaining({ name: 'www', path: 'web.yaml', line: 2, commit: reverted.commit, id: (await named('www')).id })]);
  }, 90_000);

  it('follows a branch by itself, also one that was pushed by force', async () => {
    const repository = await add({ poll_seconds: 5 }, { 'web.yaml': vm('web') });
    await repository.ended(await repository.clone.head());
    await repository.clone.git('commit', '--quiet', '--amend', '-m', 'Rewritten');
    const rewritten = await repository.clone.push({ 'web.yaml': vm('web', { labels: 'forced' }) });
    expect((await repository.ended(rewritten)).trigger).toBe('poll');
    expect((await named('web')).labels).toEqual(['forced']);
  }, 60_000);

  it('keeps what there is when its branch is gone, and says so', async () => {
    const repository = await add({ ref: 'feature' });
    await eventually(async () => expect(await repository.show()).toMatchObject({ status: 'FAILED', fetch_error: expect.stringContaining('feature') }));
    await repository.clone.push({ 'web.yaml': vm('web') }, 'Feature', 'feature');
    await repository.ask('sync');
    await repository.ended(await repository.clone.head());
    await repository.clone.pushRef(':refs/heads/feature');
    await repository.ask('sync');
    await eventually(async () => expect(await repository.show()).toMatchObject({ status: 'FAILED', fetch_error: expect.stringContaining('feature') }));
    expect((await named('web')).status).toBe('ACTIVE');
  }, 60_000);

  it('does all that is right beside a document that is wrong, and deletes nothing meanwhile', async () => {
    const repository = await add({}, { 'web.yaml': vm('web'), 'db.yaml': vm('db') });
    await repository.ended(await repository.clone.head());
    const sync = await repository.push({ 'web.yaml': `${vm('new')}\n---\nkind: [`, 'db.yaml': null });
    expect(sync).toMatchObject({ state: 'failed', problems: [{ file: 'web.yaml', line: 8, message: expect.any(String) }] });
    expect(told(sync)).toEqual(['create VirtualMachine demo/new done']);
    expect([(await named('web')).status, (await named('db')).status, (await named('new')).status]).toEqual(['ACTIVE', 'ACTIVE', 'ACTIVE']);
    const mended = await repository.push({ 'web.yaml': vm('new') });
    expect(mended.state).toBe('succeeded');
    expect([await named('web'), await named('db')]).toEqual([undefined, undefined]);
  }, 60_000);

  it('refuses a file of 50 MB, and keeps what there is', async () => {
    const repository = await add({}, { 'web.yaml': vm('web') });
    await repository.ended(await repository.clone.head());
    const sync = await repository.push({ 'huge.yaml': randomBytes(50 * 1024 * 1024), 'web.yaml': null });
    expect([sync.state, sync.problems]).toEqual(['failed', [expect.objectContaining({ file: 'huge.yaml', message: expect.stringContaining('larger than') })]]);
    expect((await named('web')).status).toBe('ACTIVE');
  }, 90_000);

  it('manages the environments that it may, and those of no other organization', async () => {
    const repository = await add({ environments: ['demo'] }, { 'a.yaml': vm('a', { environment: 'stage' }), 'b.yaml': vm('b') });
    const sync = await repository.ended(await repository.clone.head());
    expect([sync.state, told(sync)]).toEqual(['failed', ['create VirtualMachine demo/b done']]);
    expect(sync.problems).toEqual([expect.objectContaining({ file: 'a.yaml', line: 2, field: 'metadata.environment', message: expect.stringContaining('outside what this repository may manage') })]);
    await cloud.request('PUT', `/gitops/git-repo/${repository.id}`, { environments: [] });
    const other = await repository.push({ 'a.yaml': vm('spy', { environment: 'other' }) });
    expect(other.actions[0]).toMatchObject({ result: 'failed', message: expect.stringContaining('The environment "other" was not found') });
    const count = await cloud.database.query('SELECT count(*)::int AS count FROM virtual_machine vm JOIN environment e ON e.id = vm.environment_id WHERE e.name = $1', ['other']);
    expect(count).toEqual([{ count: 0 }]);
  }, 60_000);

  it('owns what no other repository can own', async () => {
    const one = await add({}, { 'web.yaml': vm('web') });
    await one.ended(await one.clone.head());
    const two = await add({}, { 'web.yaml': vm('web', { image: 'tiny-next' }) });
    const sync = await two.ended(await two.clone.head());
    expect(sync).toMatchObject({ state: 'failed', actions: [], problems: [{ message: expect.stringContaining('was not made by this repository') }] });
    expect((await named('web')).image.name).toBe('tiny');
  }, 60_000);

  it('deletes no more for one commit than its limit, and nothing that is protected', async () => {
    const names = ['a', 'b', 'c'];
    const repository = await add({ prune_limit: 2 }, { 'guard.yaml': vm('guard', { protect: true }), 'all.yaml': names.map((name) => vm(name)).join('---') });
    await repository.ended(await repository.clone.head());
    const sync = await repository.push({ 'all.yaml': null, 'guard.yaml': null });
    expect([sync.state, sync.actions]).toEqual(['failed', []]);
    expect(sync.problems.map(({ message }: Json) => message)).toEqual([
      ...names.map(() => expect.stringContaining('the limit is 2')),
      expect.stringContaining('stays because it was protected'),
    ]);
    expect(await vms.count()).toBe(4);
  }, 60_000);
});

describe('drift', () => {
  it('is found and put right, and told by event and signed webhook', async () => {
    const repository = await add({ callback_url: receiver.url('/gitops') }, { 'web.yaml': vm('web', { labels: 'blue' }) });
    await repository.ended(await repository.clone.head());
    const { id } = await named('web');
    await vms.send('PUT', `/${id}/label`, { labels: ['red'] });
    await repository.ask('sync');
    await eventually(async () => expect((await named('web')).labels).toEqual(['blue']));
    await vms.delete(`/${id}`);
    await repository.ask('sync');
    await eventually(async () => {
      const again = await named('web');
      expect([again?.status, again?.id === id]).toEqual(['ACTIVE', false]);
    }, 20_000);
    await eventually(async () => expect((await repository.show()).status).toBe('SYNCED'));
    const states = () => receiver.requests.filter(({ path }) => path === '/gitops').map(({ body }) => JSON.parse(body).operation.status);
    await eventually(() => expect(states()).toEqual(expect.arrayContaining(['started', 'succeeded'])));
    expect(receiver.requests[0]!.headers).toMatchObject({ 'webhook-id': expect.any(String), 'webhook-signature': expect.stringMatching(/^v1,/) });
  }, 60_000);

  it('is only reported where that is the policy', async () => {
    const repository = await add({ drift_policy: 'report', poll_seconds: 5, callback_url: receiver.url('/drift') }, { 'web.yaml': vm('web', { labels: 'blue' }) });
    await repository.ended(await repository.clone.head());
    const { id } = await named('web');
    await vms.send('PUT', `/${id}/label`, { labels: ['red'] });
    await eventually(async () => expect(await repository.show()).toMatchObject({ status: 'DRIFTED', drift: ['VirtualMachine demo/web differs in labels'] }), 15_000);
    expect((await named('web')).labels).toEqual(['red']);
    await eventually(() => expect(receiver.requests.filter(({ path }) => path === '/drift').map(({ body }) => JSON.parse(body).operation.status)).toContain('drifted'));
    await vms.send('PUT', `/${id}/label`, { labels: ['blue'] });
    await eventually(async () => expect(await repository.show()).toMatchObject({ status: 'SYNCED', drift: [] }), 15_000);
  }, 60_000);
});

describe('what happens to a repository', () => {
  it('is told by an event and a signed webhook: each start, success, failure and drift', async () => {
    const repository = await add({ callback_url: receiver.url('/told') }, { 'web.yaml': vm('web', { labels: 'blue' }) });
    await repository.ended(await repository.clone.head());
    await repository.push({ 'wrong.yaml': 'kind: [' });
    await repository.push({ 'wrong.yaml': null });
    await vms.send('PUT', `/${(await named('web')).id}/label`, { labels: ['red'] });
    await cloud.database.query('UPDATE git_repository SET next_pass_at = now() WHERE id = $1', [repository.id]);
    await eventually(async () => expect([(await named('web')).labels, (await repository.show()).status]).toEqual([['blue'], 'SYNCED']), 20_000);
    const expected = ['started', 'succeeded', 'started', 'failed', 'started', 'succeeded', 'drifted', 'started', 'succeeded'];
    const events = await cloud.database.query<{ reason: string; type: string }[]>(`SELECT reason, type FROM event WHERE object = $1 AND reason ~ 'SyncS|SyncF|Drift' ORDER BY id`, [repository.name]);
    const REASONS: Readonly<Record<string, string>> = { started: 'GitopsSyncStarted', succeeded: 'GitopsSyncSucceeded', failed: 'GitopsSyncFailed', drifted: 'GitopsDriftFound' };
    expect(events).toEqual(expected.map((happening) => ({ reason: REASONS[happening], type: /failed|drifted/.test(happening) ? 'warning' : 'normal' })));
    const { signing_secrets: secrets } = (await cloud.request('GET', '/v1/core/callbacks/signing-secrets')).body;
    await eventually(() => {
      const calls = receiver.requests.filter(({ path }) => path === '/told').map(({ body, headers }) => new Webhook(secrets[0].secret).verify(body, headers) as Json);
      expect(calls.map(({ operation }) => operation.status).toSorted()).toEqual(expected.toSorted());
      expect(calls.find(({ operation }) => operation.status === 'failed')!.data).toMatchObject({ author: 'Ada <ada@example.org>', problems: [expect.objectContaining({ file: 'wrong.yaml', line: 1 })] });
    });
  }, 60_000);
});

describe('the hand on a repository', () => {
  it('pauses it, resumes it, rolls it back and lets it go on', async () => {
    const repository = await add({}, { 'web.yaml': vm('web', { labels: 'one' }) });
    const first = await repository.ended(await repository.clone.head());
    await repository.ask('pause');
    expect((await cloud.request('POST', `/gitops/git-repo/${repository.id}/sync`)).body.message).toContain('is paused');
    const second = await repository.clone.push({ 'web.yaml': vm('web', { labels: 'two' }) });
    await repository.ask('resume');
    await repository.ended(second);
    expect((await named('web')).labels).toEqual(['two']);
    await repository.ask('rollback', { commit: first.commit.slice(0, 10) });
    await eventually(async () => expect((await named('web')).labels).toEqual(['one']));
    expect(await repository.show()).toMatchObject({ pinned_commit: first.commit });
    expect((await repository.syncs())[0]).toMatchObject({ trigger: 'rollback', commit: first.commit });
    await repository.ask('resume');
    await eventually(async () => expect((await named('web')).labels).toEqual(['two']));
  }, 60_000);

  it('looks at a plan of another branch without doing it, and only plans in mode plan', async () => {
    const repository = await add({ mode: 'plan' }, { 'web.yaml': vm('web') });
    const planned = await repository.ended(await repository.clone.head());
    expect([planned.state, told(planned)]).toEqual(['planned', ['create VirtualMachine demo/web planned']]);
    await repository.clone.push({ 'web.yaml': vm('web'), 'db.yaml': vm('db') }, 'A proposal', 'proposal');
    const { body } = await cloud.request('GET', `/gitops/git-repo/${repository.id}/plan?ref=proposal`);
    expect(body.actions.map(({ verb, resource, file }: Json) => `${verb} ${resource} ${file}`)).toEqual([
      'create VirtualMachine demo/db db.yaml',
      'create VirtualMachine demo/web web.yaml',
    ]);
    expect(await vms.count()).toBe(0);
  }, 60_000);

  it('never sees its secrets again', async () => {
    const repository = await add();
    const shown = [await cloud.request('GET', `/gitops/git-repo/${repository.id}`), await cloud.request('GET', '/gitops/git-repo')].map(({ text }) => text).join();
    expect([shown.includes(TOKEN), shown.includes(repository.webhookSecret)]).toEqual([false, false]);
    const [row] = await cloud.database.query<[{ credentials: Buffer; webhook_secret: Buffer }]>('SELECT credentials, webhook_secret FROM git_repository WHERE id = $1', [repository.id]);
    expect([row.credentials.includes(TOKEN), row.webhook_secret.includes(repository.webhookSecret)]).toEqual([false, false]);
  });

  it('is its organization\'s alone', async () => {
    const repository = await add();
    for (const [method, path, body] of [
      ['GET', ''], ['PUT', '', { prune: true }], ['DELETE', ''], ['POST', '/sync'], ['POST', '/pause'], ['POST', '/resume'],
      ['POST', '/rollback', { commit: '1234567' }], ['GET', '/plan'], ['GET', '/syncs'], ['GET', '/resources'],
    ] as const) {
      const foreign = await cloud.request(method, `/gitops/git-repo/${repository.id}${path}`, body, { api_key: cloud.other.key });
      const missing = await cloud.request(method, `/gitops/git-repo/2147483647${path}`, body, { api_key: cloud.other.key });
      expect([method, path, foreign.status, foreign.text]).toEqual([method, path, 404, missing.text]);
    }
  });
});

describe('a push that the forge tells of', () => {
  const sign = (body: string, secret: string): string => `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`;
  const hook = (id: number, body: string, headers: Readonly<Record<string, string>>) =>
    cloud.request('POST', `/gitops/git-repo/${id}/github-webhook`, body, { 'x-github-event': 'push', ...headers });

  it('is looked at, at once', async () => {
    const repository = await add();
    await repository.ended(await repository.clone.head());
    const commit = await repository.clone.push({ 'web.yaml': vm('web') });
    const body = JSON.stringify({ ref: 'refs/heads/main', after: commit, pusher: 'Zoë' });
    const answer = await hook(repository.id, body, { 'x-hub-signature-256': sign(body, repository.webhookSecret) });
    expect([answer.status, answer.body.message]).toEqual([200, 'Looking at the branch']);
    expect(await repository.ended(commit)).toMatchObject({ trigger: 'push', state: 'succeeded' });
  });

  it('counts by its signature alone, for its own repository, its bytes and its branch', async () => {
    const repository = await add();
    const other = await add();
    await repository.ended(await repository.clone.head());
    const { id, webhookSecret } = repository;
    const body = JSON.stringify({ ref: 'refs/heads/main', after: 'a'.repeat(40) });
    const good = { 'x-hub-signature-256': sign(body, webhookSecret) };
    const missing = await hook(2147483647, body, good);
    for (const answer of [
      await hook(id, body, {}),
      await hook(id, `${body} `, good),
      await hook(id, body, { 'x-hub-signature-256': sign(body, 'guessed') }),
      await hook(id, body, { 'x-gitlab-token': 'guessed' }),
      // Stolen from another repository.
      await hook(other.id, body, good),
      await hook(id, '', { 'x-hub-signature-256': sign('', 'guessed') }),
    ])
      expect([answer.status, answer.text]).toEqual([404, missing.text]);
    const feature = JSON.stringify({ ref: 'refs/heads/feature', after: 'a'.repeat(40) });
    const answer = await hook(id, feature, { 'x-hub-signature-256': sign(feature, webhookSecret) });
    expect(answer.body.message).toContain('nothing is done');
  });
});

describe('a pass', () => {
  it('that was broken off is taken over: what it had made is known, and made once', async () => {
    const repository = await add({ paused: true }, { 'all.yaml': ['a', 'b', 'c'].map((name) => vm(name)).join('---') });
    const [{ user_id, organization_id }] = await cloud.database.query<[{ user_id: number; organization_id: number }]>('SELECT user_id, organization_id FROM git_repository WHERE id = $1', [repository.id]);
    // What a conductor leaves that dies between making a machine and binding it.
    await vms.active({ name: 'a' });
    await cloud.database.query(`UPDATE virtual_machine SET user_id = $1 WHERE name = 'a'`, [user_id]);
    await cloud.database.query(
      `INSERT INTO gitops_ownership (organization_id, git_repository_id, kind, environment, name, protect, path, line, commit)
       VALUES ($1, $2, 'VirtualMachine', 'demo', 'a', false, 'all.yaml', 2, 'before')`,
      [organization_id, repository.id],
    );
    await cloud.database.query(
      `UPDATE git_repository SET paused = false, next_pass_at = now(), lease = gen_random_uuid(), lease_until = now() + interval '1 second' WHERE id = $1`,
      [repository.id],
    );
    const sync = await repository.ended(await repository.clone.head());
    expect([sync.state, told(sync)]).toEqual(['succeeded', ['create VirtualMachine demo/b done', 'create VirtualMachine demo/c done']]);
    expect(await vms.count()).toBe(3);
  }, 60_000);

  it('happens once, however many ask and however many conductors there are', async () => {
    const repository = await add();
    const first = await repository.ended(await repository.clone.head());
    const commit = await repository.clone.push({ 'all.yaml': Array.from({ length: 12 }, (_, index) => vm(`many-${index}`)).join('---') });
    await Promise.all(
      Array.from({ length: 20 }, (_, index) => cloud.request('POST', `/gitops/git-repo/${repository.id}/sync`, undefined, undefined, index % 2)),
    );
    const sync = await repository.ended(commit);
    expect([sync.state, sync.actions.length]).toEqual(['succeeded', 12]);
    const syncs = await repository.syncs();
    expect(syncs.filter((candidate) => candidate.commit === commit && candidate.actions.length > 0)).toHaveLength(1);
    expect(syncs.length).toBeLessThan(8);
    expect(first.state).toBe('succeeded');
    expect(await vms.count()).toBe(12);
  }, 60_000);
});
