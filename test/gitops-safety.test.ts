/** What Git may do and must not, what it costs, what it tells forges, and what it keeps to itself. */
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { randomBytes } from 'node:crypto';
import { createRequire } from 'node:module';
import { fsck } from '../src/conductor/admin/fsck.js';
import { HOSTILE_REFS, HOSTILE_URLS } from '../src/conductor/gitops/git/hostile.fixture.js';
import { setQuota } from '../src/conductor/quotas/set-quota.js';
import { GitServer } from './fixtures/git-server.js';
import { WebhookReceiver } from './fixtures/webhook-receiver.js';
import { startCloud, type Cloud, type Json } from './support/cloud.js';
import { eventually } from './support/eventually.js';
import { GitopsRepository, toldActions as told, vmDocument as vm } from './support/gitops-client.js';
import { VmClient } from './support/vm-client.js';

const TOKEN = 'ghp_that_nobody_sees_again';

let cloud: Cloud;
let server: GitServer;
let receiver: WebhookReceiver;
let vms: VmClient;

beforeAll(async () => {
  server = await GitServer.start({ token: TOKEN });
  receiver = await WebhookReceiver.start();
  cloud = await startCloud({
    nodes: 2,
    settings: { BATON_EGRESS_ALLOW: '127.0.0.0/8', BATON_SECRET_KEY: randomBytes(32).toString('base64') },
  });
  vms = new VmClient(cloud);
}, 60_000);

/** What a repository made stays when it is removed. */
afterEach(async () => {
  for (const { id } of (await cloud.request('GET', '/gitops/git-repo')).body.git_repos) await cloud.request('DELETE', `/gitops/git-repo/${id}`);
  const left = (await vms.get('')).body.instances;
  for (const { id } of left) await eventually(async () => expect((await vms.delete(`/${id}`)).status).toBe(200));
  for (const { id } of left) await vms.gone(id);
  await cloud.database.query('DELETE FROM firewall');
  await cloud.database.query(`DELETE FROM keypair WHERE name NOT IN ('demo', 'other')`);
}, 30_000);

afterAll(async () => {
  expect(await fsck(cloud.database)).toEqual([]);
  await cloud.stop();
  await server.stop();
  await receiver.stop();
});

const add = (change: object = {}, first: Readonly<Record<string, string>> = {}): Promise<GitopsRepository> => GitopsRepository.add(cloud, server, change, first);

const firewall = (name: string): string => `apiVersion: baton/v1\nkind: Firewall\nmetadata: { name: ${name}, environment: demo }\nspec: {}\n`;

const named = async (name: string): Promise<Json> => (await vms.get(`/demo/${name}`)).body.instance;

describe('a forge', () => {
  /** A forge whose repositories are those of the Git server, and whose API the test answers. */
  const posted: { path: string; authorization: string | undefined; body: Json }[] = [];
  let answer = 201;

  beforeAll(() => {
    server.answerApi = (path, authorization, body) => {
      posted.push({ path, authorization, body: JSON.parse(body) });
      return answer;
    };
  });

  const of = (commit: string): Json[] => posted.filter(({ path }) => path.endsWith(commit)).map(({ body }) => body);

  it('is told on the commit how a sync ended, and on another what it would do', async () => {
    const repository = await add({ forge: 'gitea' }, { 'web.yaml': vm('web') });
    const first = await repository.clone.head();
    await repository.ended(first);
    await eventually(() => expect(of(first)).toEqual([{ state: 'success', context: `baton/${repository.name}`, description: 'The cloud is as it says: 1 action.' }]));
    expect(posted[0]).toMatchObject({ path: `/api/v1/repos/${repository.name}/statuses/${first}`, authorization: `token ${TOKEN}` });
    const proposal = await repository.clone.push({ 'web.yaml': vm('web', { labels: 'blue' }), 'wrong.yaml': 'kind: [' }, 'A proposal', 'proposal');
    await cloud.request('GET', `/gitops/git-repo/${repository.id}/plan?ref=proposal`);
    await eventually(() =>
      expect(of(proposal)).toEqual([{ state: 'failure', context: `baton/${repository.name}/plan`, description: expect.stringMatching(/^1 to do, 0 as they shall be; \d wrong: wrong.yaml:1 /) }]),
    );
    const failing = await repository.push({ 'web.yaml': vm('web', { flavor: 'none-such' }), 'wrong.yaml': null });
    await eventually(() => expect(of(failing.commit)).toEqual([expect.objectContaining({ state: 'failure', description: expect.stringContaining('could not be done') })]));
    expect(await repository.show()).toMatchObject({ commit_status: true, commit_status_error: null, forge: 'gitea' });
  }, 60_000);

  it('that does not take it keeps nothing from being done, and is shown', async () => {
    answer = 403;
    const repository = await add({ forge: 'gitea' }, { 'web.yaml': vm('web') });
    expect((await repository.ended(await repository.clone.head())).state).toBe('succeeded');
    await eventually(async () => expect((await repository.show()).commit_status_error).toBe('The forge answered 403: may the token write commit statuses?'));
    answer = 503;
    const second = await repository.push({ 'web.yaml': vm('web', { labels: 'blue' }) });
    await eventually(async () => expect((await repository.show()).commit_status_error).toBe('The forge answered 503.'));
    answer = 201;
    const before = of(second.commit).length;
    await repository.ask('sync');
    await eventually(() => expect(of(second.commit).length).toBeGreaterThan(before));
    await eventually(async () => expect((await repository.show()).commit_status_error).toBeNull());
  }, 60_000);

  it('that is not to be told, or that nobody knows, is told nothing', async () => {
    const before = posted.length;
    for (const change of [{ forge: 'gitea', commit_status: false }, {}]) {
      const repository = await add(change, { 'web.yaml': vm('web') });
      await repository.ended(await repository.clone.head());
      await cloud.request('GET', `/gitops/git-repo/${repository.id}/plan?ref=main`);
      await cloud.request('DELETE', `/gitops/git-repo/${repository.id}`);
    }
    expect(posted.length).toBe(before);
  }, 60_000);
});

describe('a hostile repository', () => {
  it('is not given the token of another server: who changes a URL gives its credentials too', async () => {
    const repository = await add();
    await repository.ended(await repository.clone.head());
    const other = await WebhookReceiver.start();
    const change = (body: object) => cloud.request('PUT', `/gitops/git-repo/${repository.id}`, body);
    try {
      const url = other.url('/stolen.git');
      for (const refused of [url, url.replace('127.0.0.1', 'localhost'), server.sshUrl(repository.name)]) {
        const answer = await change({ url: refused });
        expect([answer.status, answer.body.message]).toEqual([400, expect.stringContaining('another server')]);
      }
      expect((await repository.show()).url).toBe(server.httpUrl(repository.name));
      expect((await change({ url: server.httpUrl('elsewhere') })).status).toBe(200);
      expect((await change({ url, credentials: null })).status).toBe(200);
      await eventually(() => expect(other.requests.length).toBeGreaterThan(0));
      expect(other.requests.filter(({ headers }) => headers['authorization'] !== undefined)).toEqual([]);
    } finally {
      await other.stop();
    }
  }, 40_000);

  it('is refused by its URL and its ref before anybody is asked and anything runs', async () => {
    const repository = await add();
    await repository.ended(await repository.clone.head());
    const before = server.requests.length;
    const answers = await Promise.all([
      ...HOSTILE_URLS.filter((url) => !/127|localhost|::1|2130706433/.test(url)).flatMap((url) => [
        cloud.request('POST', '/gitops/git-repo', { url }),
        cloud.request('PUT', `/gitops/git-repo/${repository.id}`, { url }),
      ]),
      ...HOSTILE_REFS.filter((ref) => ref !== '').flatMap((ref) => [
        cloud.request('POST', '/gitops/git-repo', { url: server.httpUrl('hostile'), ref }),
        cloud.request('GET', `/gitops/git-repo/${repository.id}/plan?ref=${encodeURIComponent(ref)}`),
      ]),
    ]);
    expect(answers.length).toBeGreaterThan(100);
    expect(answers.filter(({ status }) => status !== 400).map(({ status, text }) => [status, text])).toEqual([]);
    expect((await cloud.request('GET', '/gitops/git-repo')).body.git_repos).toHaveLength(1);
    expect(server.requests.length).toBe(before);
  }, 40_000);

  it('that never answers keeps those of no other organization waiting', async () => {
    const tarpit = await WebhookReceiver.start({ silent: true });
    try {
      const { body } = await cloud.request('GET', '/v1/core/environments', undefined, { api_key: cloud.other.key });
      expect(body.environments.map(({ name }: Json) => name)).toEqual(['other']);
      for (let index = 0; index < 8; index++)
        expect((await cloud.request('POST', '/gitops/git-repo', { name: `slow-${index}`, url: tarpit.url(`/slow-${index}.git`) }, { api_key: cloud.other.key })).status).toBe(200);
      await eventually(() => expect(tarpit.connections).toBeGreaterThan(0));
      const repository = await add({}, { 'web.yaml': vm('web') });
      expect((await repository.ended(await repository.clone.head())).state).toBe('succeeded');
      expect(tarpit.connections).toBeLessThanOrEqual(2);
    } finally {
      await cloud.database.query(`DELETE FROM git_repository WHERE name LIKE 'slow-%'`);
      await tarpit.stop();
    }
  }, 40_000);
});

describe('the schema of a manifest', () => {
  it('is served to editors without a key, and takes what the API takes', async () => {
    for (const path of ['/gitops/schema.json', '/v1/gitops/schema.json']) {
      const answer = await cloud.request('GET', path, undefined, { api_key: '' });
      expect([answer.status, answer.headers['content-type']]).toEqual([200, 'application/schema+json; charset=utf-8']);
      expect(JSON.parse(answer.text)).toMatchObject({ title: 'A document of a Baton manifest', oneOf: { length: 6 } });
    }
  });
});

describe('a repository over ssh', () => {
  it('is held to the host key of its first fetch, until its URL is set again', async () => {
    const repository = await add({ credentials: { private_key: server.deployKey } }, { 'web.yaml': vm('web') });
    const url = server.sshUrl(repository.name);
    await cloud.request('PUT', `/gitops/git-repo/${repository.id}`, { url, credentials: { private_key: server.deployKey } });
    await repository.ended(await repository.clone.head());
    const pinned = async (): Promise<string | null> =>
      (await cloud.database.query<[{ host_keys: string | null }]>('SELECT host_keys FROM git_repository WHERE id = $1', [repository.id]))[0].host_keys;
    await eventually(async () => expect(await pinned()).toContain('127.0.0.1'));
    const first = await pinned();
    await server.changeHostKey();
    const commit = await repository.clone.push({ 'web.yaml': vm('web', { labels: 'blue' }) });
    await repository.ask('sync');
    await eventually(async () => expect(await repository.show()).toMatchObject({ status: 'FAILED', fetch_error: expect.stringContaining('set the URL again') }), 20_000);
    expect([(await named('web')).labels, await pinned()]).toEqual([[], first]);
    await cloud.request('PUT', `/gitops/git-repo/${repository.id}`, { url });
    expect((await repository.ended(commit)).state).toBe('succeeded');
    expect([(await named('web')).labels, (await pinned()) === first]).toEqual([['blue'], false]);
  }, 90_000);
});

describe('a service account', () => {
  it('that lacks a permission does what it may, and names the one that it lacks', async () => {
    const [{ id: organizationId }] = await cloud.database.query<[{ id: number }]>(`SELECT id FROM organization WHERE name = 'demo'`);
    await cloud.database.query(`INSERT INTO role (organization_id, name, description, permissions, policies) VALUES ($1, 'Machines', '', '{}', '{VirtualMachineFullAccess}')`, [organizationId]);
    const repository = await add({ role: 'Machines' }, { 'all.yaml': [vm('web'), firewall('walls')].join('---\n') });
    const sync = await repository.ended(await repository.clone.head());
    expect([sync.state, told(sync).toSorted()]).toEqual(['failed', ['create Firewall demo/walls failed', 'create VirtualMachine demo/web done']]);
    expect(sync.actions.find(({ result }: Json) => result === 'failed').message).toBe("The role of the repository's service account lacks the permission firewall:create.");
  }, 40_000);

  it('has no more than the quota: what has no room fails alone, and is made when there is room', async () => {
    await setQuota(cloud.database, 'demo', { vms: 2 });
    try {
      const repository = await add({ poll_seconds: 5 }, { 'all.yaml': [vm('a'), vm('b'), vm('c'), firewall('walls')].join('---\n') });
      const sync = await repository.ended(await repository.clone.head());
      expect(sync.state).toBe('failed');
      expect(told(sync).filter((line) => line.endsWith('done'))).toHaveLength(3);
      expect(sync.actions.filter(({ result }: Json) => result === 'failed')).toEqual([expect.objectContaining({ message: expect.stringContaining('quota') })]);
      await setQuota(cloud.database, 'demo', { vms: 3 });
      await eventually(async () => expect((await repository.show()).status).toBe('SYNCED'), 40_000);
      expect(await vms.count()).toBe(3);
    } finally {
      await setQuota(cloud.database, 'demo', { vms: null });
    }
  }, 90_000);
});

describe('what was made under a claim before a crash', () => {
  /** What a conductor leaves that dies between a claim and what it makes: the row, without a resource. */
  const claim = async ({ id }: GitopsRepository, name: string): Promise<string> => {
    const [{ claim }] = await cloud.database.query<[{ claim: string }]>(
      `INSERT INTO gitops_ownership (organization_id, git_repository_id, kind, environment, name, protect, path, line, commit, claim)
       SELECT organization_id, id, 'Firewall', 'demo', $2, false, 'all.yaml', 2, 'before', gen_random_uuid() FROM git_repository WHERE id = $1 RETURNING claim`,
      [id, name],
    );
    return claim;
  };

  const makeByHand = async (name: string): Promise<void> => {
    const [{ id }] = await cloud.database.query<[{ id: number }]>(`SELECT id FROM environment WHERE name = 'demo'`);
    expect((await cloud.request('POST', '/v1/core/firewalls', { name, environment_id: id })).status).toBeLessThan(300);
  };

  it('is known by it; what somebody made by hand in between is not touched', async () => {
    const repository = await add({ paused: true }, { 'all.yaml': [firewall('ours'), firewall('theirs')].join('---\n') });
    const ours = await claim(repository, 'ours');
    await claim(repository, 'theirs');
    await makeByHand('ours');
    await makeByHand('theirs');
    await cloud.database.query(`UPDATE firewall SET gitops_claim = $1 WHERE name = 'ours'`, [ours]);
    await repository.ask('resume');
    const sync = await repository.ended(await repository.clone.head());
    expect(sync).toMatchObject({ state: 'failed', actions: [], problems: [{ message: expect.stringContaining('Firewall demo/theirs exists, and was not made by this repository') }] });
    const owned = await cloud.database.query<Json[]>(`SELECT name, resource_id IS NOT NULL AS bound FROM gitops_ownership ORDER BY name`);
    expect(owned).toEqual([{ name: 'ours', bound: true }, { name: 'theirs', bound: false }]);
  }, 40_000);
});

describe('a pass', () => {
  it('without news costs one question to the Git server and few to the database', async () => {
    const repository = await add({}, { 'all.yaml': [...Array.from({ length: 10 }, (_, index) => vm(`many-${index}`)), firewall('walls')].join('---\n') });
    await repository.ended(await repository.clone.head());
    const asked = (): number => server.requests.filter(({ path }) => path === `/${repository.name}.git/info/refs`).length;
    const before = asked();
    const { Client } = createRequire(import.meta.url)('pg') as { Client: { prototype: { query(...args: unknown[]): unknown } } };
    const query = jest.spyOn(Client.prototype, 'query');
    try {
      await cloud.database.query('UPDATE git_repository SET next_pass_at = now() WHERE id = $1', [repository.id]);
      await eventually(async () => {
        const [row] = await cloud.database.query<[{ done: boolean }]>('SELECT lease IS NULL AND next_pass_at > now() + interval \'1 minute\' AS done FROM git_repository WHERE id = $1', [repository.id]);
        expect(row.done).toBe(true);
      });
      const statements = query.mock.calls.map(([text]) => String(typeof text === 'object' && text !== null && 'text' in text ? text.text : text)).filter((text) => /git_repository|gitops_/.test(text) && !/AS done|SET next_pass_at = now\(\)|FOR UPDATE SKIP LOCKED/.test(text));
      expect(statements.length).toBeGreaterThan(8);
      expect(statements.length).toBeLessThanOrEqual(16);
    } finally {
      query.mockRestore();
    }
    expect(asked() - before).toBe(1);
  }, 60_000);

  it('ends at its next action when its repository is paused, and goes on when it is resumed', async () => {
    const names = Array.from({ length: 60 }, (_, index) => `wall-${index}`);
    const repository = await add({ paused: true }, { 'all.yaml': names.map(firewall).join('---\n') });
    // Each takes a moment, so that there is a middle.
    await cloud.database.query(`CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.15); RETURN NEW; END $$`);
    await cloud.database.query('CREATE TRIGGER slow BEFORE INSERT ON firewall FOR EACH ROW EXECUTE FUNCTION slow()');
    const made = async (): Promise<number> => (await cloud.database.query<[{ count: number }]>('SELECT count(*)::int AS count FROM firewall'))[0].count;
    try {
      await repository.ask('resume');
      await eventually(async () => expect(await made()).toBeGreaterThan(0), 10_000);
      await repository.ask('pause');
      await eventually(async () => expect((await cloud.database.query<Json[]>('SELECT lease FROM git_repository WHERE id = $1', [repository.id]))[0].lease).toBeNull(), 10_000);
      const then = await made();
      expect(then).toBeLessThan(60);
      expect((await repository.show()).status).toBe('PAUSED');
    } finally {
      await cloud.database.query('DROP FUNCTION slow CASCADE');
    }
    await repository.ask('resume');
    expect((await repository.ended(await repository.clone.head())).state).toBe('succeeded');
    expect(await made()).toBe(60);
  }, 60_000);
});

describe('secrets of a repository', () => {
  it('are in no answer, event, webhook, history, error and log, whatever fails', async () => {
    const written: string[] = [];
    for (const level of ['log', 'warn', 'error', 'debug'] as const)
      jest.spyOn(Logger.prototype, level).mockImplementation((...said: unknown[]) => void written.push(said.map(String).join(' ')));
    const secret = 'wrong-but-secret-all-the-same';
    const seen: string[] = [];
    const ask = async (method: string, path: string, body?: object): Promise<Json> => {
      const answer = await cloud.request(method, path, body);
      seen.push(answer.text, JSON.stringify(answer.headers));
      return answer.body;
    };
    try {
      const repository = await add({ callback_url: receiver.url('/secrets'), forge: 'gitea' }, { 'web.yaml': vm('web'), 'wrong.yaml': 'kind: [' });
      await repository.ended(await repository.clone.head());
      const path = `/gitops/git-repo/${repository.id}`;
      await ask('PUT', path, { credentials: { token: secret } });
      await ask('POST', `${path}/sync`);
      await eventually(async () => expect((await repository.show()).fetch_error).toContain('refused the credentials'), 20_000);
      await ask('GET', `${path}/plan?ref=feature`);
      await ask('PUT', path, { credentials: { token: secret, private_key: server.deployKey } });
      await ask('PUT', path, { url: `https://user:${secret}@example.org/a.git` });
      await ask('PUT', path, { url: server.sshUrl(repository.name), credentials: { private_key: `-----BEGIN ${secret}-----` } });
      await eventually(async () => expect((await repository.show()).fetch_error).not.toBeNull(), 20_000);
      for (const shown of ['', '/plan', '/syncs', '/resources']) await ask('GET', `${path}${shown}`);
      for (const shown of ['/gitops/git-repo', '/v1/core/events', '/v1/auth/organizations', '/openapi.json']) await ask('GET', shown);
      const rows = await cloud.database.query<Json[]>(
        `SELECT (SELECT json_agg(e) FROM event e) AS events, (SELECT json_agg(c) FROM callback_delivery c) AS deliveries, (SELECT json_agg(s) FROM gitops_sync s) AS syncs,
                (SELECT json_agg(u) FROM user_account u) AS users, (SELECT json_agg(g) FROM git_repository g) AS repositories, (SELECT json_agg(t) FROM task t) AS tasks`,
      );
      seen.push(JSON.stringify(rows), ...receiver.requests.map(({ body, headers }) => body + JSON.stringify(headers)), ...written);
      const everything = seen.join('\n');
      expect(everything).toContain('The repository refused the credentials.');
      for (const hidden of [TOKEN, Buffer.from(`x-access-token:${TOKEN}`).toString('base64'), secret, repository.webhookSecret, server.deployKey.split('\n')[1]!])
        expect(everything.includes(hidden)).toBe(false);
    } finally {
      jest.restoreAllMocks();
    }
  }, 60_000);
});
