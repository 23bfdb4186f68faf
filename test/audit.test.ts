/**
 * The audit: every endpoint of the OpenAPI document that changes something leaves one row, in the transaction of the
 * change. Endpoints are found in the document, so that a new one that leaves none fails here.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { emptyQcow2 } from '../src/all-in-one/empty-qcow2.js';
import { ENDPOINTS, endpointKey } from '../src/conductor/access/endpoints.js';
import { Lab, REGION } from './conformance/lab.js';
import { PREPARATIONS, type Preparation } from './conformance/preparations.js';
import { startCloud, type Answer, type Cloud, type Json } from './support/cloud.js';
import { eventually } from './support/eventually.js';
import { scratchFolder } from './support/scratch.js';

/** GET, because Infrahub's clients send GET. Who asks for a console gets into the guest: that is kept too. */
const CHANGING_GET = /\/(start|stop|hard-reboot|hibernate|hibernate-restore|request-console|accept)$|\/change-org\//;

/** Sent with another method than GET, and still no change of anything. */
const NO_CHANGE: Readonly<Record<string, string>> = {
  'POST /v1/auth/me/mfa/disable': 'there is nothing to disable',
  'POST /v1/core/virtual-machines/{}/logs': 'reads the console',
};

/** What these change has no number. */
const WITHOUT_NUMBER: readonly string[] = ['POST /v1/core/callbacks/signing-secrets/rotate', 'POST /v1/core/callbacks/deliveries/{}/replay'];

/** The same controllers as under /v1. */
const UNVERSIONED = /^\/gitops\//;

/** Behind no API key: what machines report is in events and tasks, and what the operator does is of no organization, and what forges tell changes
 * nothing by itself. */
const NOT_OF_USERS = /^\/(compute|metadata|admin)\/|\/github-webhook$/;

const VM = '/core/virtual-machines';
const named = async (lab: Lab, state?: 'stopped' | 'hibernated'): Promise<string> => {
  const vm = state === 'stopped' ? await lab.stoppedVm() : state === 'hibernated' ? await lab.hibernatedVm() : await lab.vm();
  return `${VM}/${lab.cloud.demo.name}/${vm.name}`;
};
const labelled = async (lab: Lab, state?: 'stopped' | 'hibernated'): Promise<string> => {
  const label = lab.name();
  if (state === 'stopped') await lab.stoppedVm({ labels: [label] });
  else {
    const { id } = await lab.vm({ labels: [label] });
    if (state === 'hibernated') {
      await lab.call('GET', `${VM}/${id}/hibernate`);
      await lab.vms.reaches(id, 'HIBERNATED');
    }
  }
  return `${VM}/${lab.cloud.demo.name}/labels/${label}`;
};
const volumes = async (lab: Lab): Promise<{ volume_ids: number[] }> => ({ volume_ids: [(await lab.volume()).id] });
const attached = async (lab: Lab): Promise<{ name: string; label: string; volume_ids: number[] }> => {
  const { vm, volume } = await lab.attached();
  const label = lab.name();
  await lab.call('PUT', `${VM}/${vm.id}/label`, { labels: [label] });
  return { name: `${VM}/${lab.cloud.demo.name}/${vm.name}`, label: `${VM}/${lab.cloud.demo.name}/labels/${label}`, volume_ids: [volume.id] };
};
const newImage = (lab: Lab): object => ({ name: lab.name(), region_name: REGION, format: 'qcow2' });
const newSnapshot = (lab: Lab): object => ({ name: lab.name(), description: 'of this test' });
const newRepository = (lab: Lab): object => ({ name: lab.name(), url: 'https://example.org/cloud.git', poll_seconds: 3_600 });
const repository = async (lab: Lab): Promise<string> =>
  `/gitops/git-repo/${(await lab.call('POST', '/gitops/git-repo', newRepository(lab))).git_repo.id}`;
const CALLBACK = { url: 'https://example.org/hook' };
const withCallback = async (lab: Lab): Promise<string> => {
  const { name } = await lab.vm({ callback_url: 'https://example.org/first' });
  return `${VM}/${lab.cloud.demo.name}/${name}`;
};

/** Of additions of ours, which are in no preparation of the conformance test, and one that is otherwise here. */
const OWN: Readonly<Record<string, Preparation>> = {
  // To the name that it has: others look for it.
  'PUT /v1/auth/organizations/update': (lab) => ({ path: '/auth/organizations/update', body: { name: lab.cloud.demo.name } }),
  'GET /v1/core/virtual-machines/{}/{}/start': async (lab) => ({ path: `${await named(lab, 'stopped')}/start` }),
  'GET /v1/core/virtual-machines/{}/{}/stop': async (lab) => ({ path: `${await named(lab)}/stop` }),
  'GET /v1/core/virtual-machines/{}/{}/hard-reboot': async (lab) => ({ path: `${await named(lab)}/hard-reboot` }),
  'GET /v1/core/virtual-machines/{}/{}/hibernate': async (lab) => ({ path: `${await named(lab)}/hibernate` }),
  'GET /v1/core/virtual-machines/{}/{}/hibernate-restore': async (lab) => ({ path: `${await named(lab, 'hibernated')}/hibernate-restore` }),
  'POST /v1/core/virtual-machines/{}/{}/resize': async (lab) => ({ path: `${await named(lab)}/resize`, body: { flavor_name: 'small-1' } }),
  'DELETE /v1/core/virtual-machines/{}/{}': async (lab) => ({ path: await named(lab) }),
  'POST /v1/core/virtual-machines/{}/{}/attach-callback': async (lab) => ({ path: `${await named(lab)}/attach-callback`, body: CALLBACK }),
  'PUT /v1/core/virtual-machines/{}/{}/update-callback': async (lab) => ({ path: `${await withCallback(lab)}/update-callback`, body: CALLBACK }),
  'DELETE /v1/core/virtual-machines/{}/{}/delete-callback': async (lab) => ({ path: `${await withCallback(lab)}/delete-callback` }),
  'GET /v1/core/virtual-machines/{}/labels/{}/start': async (lab) => ({ path: `${await labelled(lab, 'stopped')}/start` }),
  'GET /v1/core/virtual-machines/{}/labels/{}/stop': async (lab) => ({ path: `${await labelled(lab)}/stop` }),
  'GET /v1/core/virtual-machines/{}/labels/{}/hard-reboot': async (lab) => ({ path: `${await labelled(lab)}/hard-reboot` }),
  'GET /v1/core/virtual-machines/{}/labels/{}/hibernate': async (lab) => ({ path: `${await labelled(lab)}/hibernate` }),
  'GET /v1/core/virtual-machines/{}/labels/{}/hibernate-restore': async (lab) => ({
    path: `${await labelled(lab, 'hibernated')}/hibernate-restore`,
  }),
  'DELETE /v1/core/virtual-machines/{}/labels/{}': async (lab) => ({ path: await labelled(lab) }),
  'GET /v1/core/virtual-machines/{}/{}/request-console': async (lab) => ({ path: `${await named(lab)}/request-console` }),
  'POST /v1/core/virtual-machines/{}/{}/snapshots': async (lab) => ({ path: `${await named(lab)}/snapshots`, body: newSnapshot(lab) }),
  'POST /v1/core/virtual-machines/{}/labels/{}/snapshots': async (lab) => ({ path: `${await labelled(lab)}/snapshots`, body: newSnapshot(lab) }),
  'POST /v1/core/virtual-machines/{}/{}/attach-volumes': async (lab) => ({ path: `${await named(lab)}/attach-volumes`, body: await volumes(lab) }),
  'POST /v1/core/virtual-machines/{}/labels/{}/attach-volumes': async (lab) => ({
    path: `${await labelled(lab)}/attach-volumes`,
    body: await volumes(lab),
  }),
  'POST /v1/core/virtual-machines/{}/{}/detach-volumes': async (lab) => {
    const { name, volume_ids } = await attached(lab);
    return { path: `${name}/detach-volumes`, body: { volume_ids } };
  },
  'POST /v1/core/virtual-machines/{}/labels/{}/detach-volumes': async (lab) => {
    const { label, volume_ids } = await attached(lab);
    return { path: `${label}/detach-volumes`, body: { volume_ids } };
  },
  'POST /v1/core/images': (lab) => ({ path: '/core/images', body: newImage(lab) }),
  'PUT /v1/core/images/{}/file': async (lab) => {
    const { image } = await lab.call('POST', '/core/images', newImage(lab));
    return { path: `/core/images/${image.id}/file`, body: emptyQcow2() };
  },
  'POST /v1/gitops/apply': () => ({ path: '/gitops/apply', body: { files: {} } }),
  'POST /v1/gitops/git-repo': (lab) => ({ path: '/gitops/git-repo', body: newRepository(lab) }),
  'PUT /v1/gitops/git-repo/{}': async (lab) => ({ path: await repository(lab), body: { poll_seconds: 300 } }),
  'DELETE /v1/gitops/git-repo/{}': async (lab) => ({ path: await repository(lab) }),
  'POST /v1/gitops/git-repo/{}/sync': async (lab) => ({ path: `${await repository(lab)}/sync` }),
  'POST /v1/gitops/git-repo/{}/pause': async (lab) => ({ path: `${await repository(lab)}/pause` }),
  'POST /v1/gitops/git-repo/{}/resume': async (lab) => ({ path: `${await repository(lab)}/resume` }),
  'POST /v1/gitops/git-repo/{}/rollback': async (lab) => {
    const { git_repo_id, commit } = await lab.call('POST', '/gitops/apply', { name: lab.name(), files: {} });
    return { path: `/gitops/git-repo/${git_repo_id}/rollback`, body: { commit } };
  },
  'PUT /v1/core/environments/{}/quota': async (lab) => ({
    path: `/core/environments/${(await lab.environment()).id}/quota`,
    body: { vms: 3 },
  }),
  'PUT /v1/core/volumes/{}': async (lab) => {
    const { name } = await lab.environment();
    return { path: `/core/volumes/${(await lab.volume()).id}`, body: { environment_name: name } };
  },
  'POST /v1/core/callbacks/signing-secrets/rotate': () => ({ path: '/core/callbacks/signing-secrets/rotate' }),
  'POST /v1/core/callbacks/deliveries/{}/replay': async (lab) => {
    const { id } = await lab.vm();
    const [row] = await lab.cloud.database.query<[{ id: string }]>(
      `INSERT INTO callback_delivery (id, organization_id, virtual_machine_id, url, body, state, finished_at)
       SELECT gen_random_uuid(), organization_id, id, 'https://example.org', '{}', 'failed', now() FROM virtual_machine WHERE id = $1 RETURNING id`,
      [id],
    );
    return { path: `/core/callbacks/deliveries/${row.id}/replay` };
  },
};

const OF_REFERENCE: ReadonlyMap<string, Preparation> = new Map(
  Object.entries(PREPARATIONS).map(([name, prepare]) => {
    const [method, path] = name.split(' ') as [string, string];
    return [endpointKey(method, `/v1${path}`), prepare];
  }),
);

let cloud: Cloud;
let lab: Lab;

beforeAll(async () => {
  cloud = await startCloud({
    floatingIps: ['198.51.100.1', '198.51.100.2', '198.51.100.3', '198.51.100.4'],
    settings: { BATON_IMAGE_STORE: await scratchFolder('image-store') },
  });
  lab = new Lab(cloud);
}, 60_000);
afterAll(async () => await cloud.stop(), 60_000);

const isChange = (method: string, path: string): boolean => method !== 'GET' || CHANGING_GET.test(path);

/** The table of endpoints is held against the OpenAPI document by `access.test.ts`, in both directions. */
const CHANGES = ENDPOINTS.filter(([method, path]) => isChange(method, path) && !UNVERSIONED.test(path))
  .map(([method, path]) => endpointKey(method, path))
  .filter((name) => NO_CHANGE[name] === undefined);

const rowsOf = (answer: Answer): Promise<Json[]> =>
  cloud.database.query('SELECT * FROM audit_entry WHERE request_id = $1', [answer.headers['x-request-id']]);

const send = (method: string, path: string, body?: unknown, key = cloud.demo.key): Promise<Answer> =>
  cloud.request(method, `/v1${path}`, body, { api_key: key });

const audit = async (query = '', key = cloud.demo.key): Promise<Json> => (await send('GET', `/audit${query}`, undefined, key)).body;

describe('a change', () => {
  it('is every endpoint of the document that is for users and does not only read', async () => {
    const { paths } = (await cloud.request('GET', '/openapi.json')).body as { paths: Record<string, object> };
    const documented = Object.entries(paths)
      .filter(([path]) => !NOT_OF_USERS.test(path) && !UNVERSIONED.test(path))
      .flatMap(([path, methods]) => Object.keys(methods).map((method) => [method.toUpperCase(), path] as const))
      .filter(([method, path]) => isChange(method, path))
      .map(([method, path]) => endpointKey(method, path));
    expect([...CHANGES, ...Object.keys(NO_CHANGE)].sort()).toEqual([...new Set(documented)].sort());
  });

  it.each(CHANGES)('%s leaves one row', async (name) => {
    const prepare = OWN[name] ?? OF_REFERENCE.get(name);
    if (prepare === undefined) throw new Error(`Say in OWN what must be there before ${name} is called.`);
    const { path, body, key } = await prepare(lab);
    const [method] = name.split(' ') as [string];
    const answer = await send(method, path, body, key);
    expect({ status: answer.status < 300, text: answer.status < 300 ? '' : answer.text }).toEqual({ status: true, text: '' });
    const rows = await rowsOf(answer);
    expect(rows).toHaveLength(1);
    expect(rows[0]).toMatchObject({ method, path: `/v1${path}`, address: '127.0.0.1' });
    expect(rows[0]!.api_key_id).toEqual(expect.any(Number));
    expect(rows[0]!.user_id).toEqual(expect.any(Number));
    expect(rows[0]!.resource_ids.length > 0).toBe(!WITHOUT_NUMBER.includes(name));
  }, 30_000);

  it('that is refused, finds nothing or breaks leaves none', async () => {
    await send('POST', '/core/environments', { name: 'once', region: REGION });
    for (const [method, path, body, status] of [
      ['POST', '/core/environments', { name: 'once', region: REGION }, 409],
      ['POST', '/core/environments', { name: 'no', region: 'nowhere' }, 404],
      ['DELETE', '/core/environments/2147483647', undefined, 404],
      ['DELETE', '/core/profiles/2147483647', undefined, 404],
      ['GET', `${VM}/2147483647/stop`, undefined, 404],
      ['POST', VM, { name: 'bad' }, 400],
    ] as const) {
      const answer = await send(method, path, body);
      expect({ path, status: answer.status, rows: await rowsOf(answer) }).toEqual({ path, status, rows: [] });
    }
  });
});

describe('the audit', () => {
  it('tells who, what, when and from where, the latest first, and is filtered', async () => {
    const { environment } = (await send('POST', '/core/environments', { name: 'told', region: REGION })).body;
    await send('PUT', `/core/environments/${environment.id}`, { name: 'told-anew' });
    const { audit: rows, count } = await audit(`?resource=environment&resource_id=${environment.id}`);
    expect(count).toBe(2);
    expect(rows.map(({ method }: Json) => method)).toEqual(['PUT', 'POST']);
    expect(rows[0]).toMatchObject({ user: 'demo@localhost', resource: 'environment', resource_ids: [environment.id], address: '127.0.0.1' });
    expect((await audit(`?resource=environment&resource_id=${environment.id}&page=2&pageSize=1`)).audit).toEqual([rows[1]]);
    expect((await audit(`?request_id=${rows[0].request_id}`)).audit).toEqual([rows[0]]);
    expect((await audit('?user_id=2147483647')).count).toBe(0);
    expect((await audit('?end_date=2020-01-01T00:00:00')).count).toBe(0);
    expect((await audit('?start_date=2020-01-01T00:00:00')).count).toBeGreaterThan(1);
    expect((await send('GET', '/audit?start_date=soon')).status).toBe(400);
  });

  it('names all VMs that one request made or changed', async () => {
    const label = lab.name();
    const { body } = await lab.vms.post({ name: 'crowd', count: 3, labels: [label] });
    const ids = body.instances.map(({ id }: Json) => id);
    for (const id of ids) await lab.vms.reaches(id, 'ACTIVE');
    await send('GET', `${VM}/demo/labels/${label}/stop`);
    const { audit: rows } = await audit(`?resource=virtual-machine&resource_id=${ids[1]}`);
    expect(rows.map(({ resource_ids }: Json) => resource_ids.toSorted((a: number, b: number) => a - b))).toEqual([ids, ids]);
  });

  it('tells what a manifest changed, by its commit', async () => {
    const name = lab.name();
    const manifest = JSON.stringify({ apiVersion: 'baton/v1', kind: 'Environment', metadata: { name }, spec: { region: REGION } });
    const { git_repo_id, commit } = await lab.call('POST', '/gitops/apply', { name: lab.name(), files: { 'a.yaml': manifest } });
    const [row] = await eventually(async () => {
      const { audit: rows } = await audit(`?request_id=${commit}`);
      expect(rows).toHaveLength(1);
      return rows as [Json];
    }, 20_000);
    const { environments } = await lab.call('GET', `/core/environments?search=${name}`);
    expect(row).toMatchObject({
      method: 'SYNC',
      path: `/v1/gitops/git-repo/${git_repo_id}`,
      resource: 'environment',
      resource_ids: [environments[0].id],
      user: expect.stringContaining('@service.invalid'),
      address: null,
      api_key_id: null,
    });
  });

  it('is of the own organization alone', async () => {
    await send('POST', '/core/environments', { name: 'theirs', region: REGION }, cloud.other.key);
    const own = await audit('?pageSize=1000');
    const theirs = await audit('?pageSize=1000', cloud.other.key);
    expect(theirs.count).toBeGreaterThan(0);
    const numbers = new Set(own.audit.map(({ id }: Json) => id));
    expect(theirs.audit.filter(({ id }: Json) => numbers.has(id))).toEqual([]);
  });

  it('is not for members without a role that has it', async () => {
    const { email, key, invite } = await lab.guest();
    const { api_key } = await lab.call('GET', `/auth/invites/${invite.id}/accept`, undefined, key);
    expect(email).toContain('@');
    expect((await send('GET', '/audit', undefined, api_key.key)).status).toBe(403);
  });
});
