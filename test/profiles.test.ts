/** Profiles: requests for VMs kept under a name, by themselves or together with the VMs. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { fsck } from '../src/conductor/admin/fsck.js';
import { startCloud, type Answer, type Cloud, type Json } from './support/cloud.js';
import { mismatches } from './support/infrahub-model.js';
import { VmClient } from './support/vm-client.js';

let cloud: Cloud;
let vms: VmClient;

beforeAll(async () => {
  cloud = await startCloud();
  vms = new VmClient(cloud);
}, 60_000);
afterAll(async () => {
  expect(await fsck(cloud.database)).toEqual([]);
  await cloud.stop();
}, 60_000);

const PATH = '/v1/core/profiles';
const send = (method: string, path = '', body?: unknown, key = cloud.demo.key): Promise<Answer> =>
  cloud.request(method, PATH + path, body, { api_key: key });
const names = async (): Promise<string[]> => (await send('GET')).body.profiles.map((profile: Json) => profile.name);

describe('a profile', () => {
  it('is kept, read, listed and deleted, in the shape that clients know', async () => {
    const data = { flavor_name: 'tiny-1', labels: '["a"]' };
    const created = await send('POST', '', { name: 'web', description: 'Front end', data });
    expect(created.status).toBe(201);
    expect(mismatches('CreateProfileResponse', created.body)).toEqual([]);
    expect(created.body.profile).toMatchObject({ name: 'web', description: 'Front end' });
    expect(JSON.parse(created.body.profile.data)).toEqual(data);

    const { id } = created.body.profile;
    expect((await send('GET', `/${id}`)).body.profile).toEqual(created.body.profile);
    const list = (await send('GET')).body;
    expect(mismatches('ProfileListResponse', list)).toEqual([]);
    expect(list.profiles).toEqual([created.body.profile]);
    expect((await send('DELETE', `/${id}`)).status).toBe(200);
    expect((await send('GET', `/${id}`)).status).toBe(404);
    expect((await send('DELETE', `/${id}`)).status).toBe(404);
  });

  it('has a name of its own in its organization, and may be named alike in another', async () => {
    const body = { name: 'twice', data: {} };
    const [one, two] = await Promise.all([send('POST', '', body), send('POST', '', body)]);
    expect([one.status, two.status].sort()).toEqual([201, 409]);
    expect((await send('POST', '', body, cloud.other.key)).status).toBe(201);
  });

  it('of another organization is not found', async () => {
    const { id } = (await send('POST', '', { name: 'private', data: {} })).body.profile;
    expect((await send('GET', `/${id}`, undefined, cloud.other.key)).status).toBe(404);
    expect((await send('DELETE', `/${id}`, undefined, cloud.other.key)).status).toBe(404);
    expect((await send('GET', '', undefined, cloud.other.key)).body.profiles).not.toContainEqual(
      expect.objectContaining({ name: 'private' }),
    );
    expect((await send('GET', `/${id}`)).status).toBe(200);
  });

  it.each([
    [{ data: {} }, 'name'],
    [{ name: 'x'.repeat(51), data: {} }, 'name'],
    [{ name: 'a', data: {}, description: 'x'.repeat(151) }, 'description'],
    [{ name: 'a', data: { count: 2 } }, 'count must be a text'],
    [{ name: 'a', data: [] }, 'data must be an object'],
    [{ name: 'a' }, 'data'],
    [{ name: 'a', data: {}, more: 1 }, 'more is not a known field'],
  ])('is refused with %j', async (body, words) => {
    const { status, body: answer } = await send('POST', '', body);
    expect(status).toBe(400);
    expect(answer.message).toContain(words);
  });

  it('is for those with a key', async () => {
    expect((await send('GET', '', undefined, 'baton_key_wrong')).status).toBe(401);
  });
});

describe('a request for VMs', () => {
  it('is kept as a profile together with its VMs', async () => {
    const { body } = await vms.post({ name: 'kept', count: 2, labels: ['a'], profile: { name: 'from-vm', description: 'Two' } });
    for (const vm of body.instances) await vms.reaches(vm.id, 'ACTIVE');
    const [profile] = (await send('GET')).body.profiles.filter((candidate: Json) => candidate.name === 'from-vm');
    expect(profile.description).toBe('Two');
    expect(JSON.parse(profile.data)).toEqual({
      name: 'kept',
      count: '2',
      labels: '["a"]',
      environment_name: 'demo',
      flavor_name: 'tiny-1',
      image_name: 'tiny',
      key_name: 'demo',
    });
  });

  it('whose profile has a taken name makes neither', async () => {
    await send('POST', '', { name: 'taken', data: {} });
    const before = await vms.count();
    const refused = await vms.post({ name: 'unmade', profile: { name: 'taken' } });
    expect(refused.status).toBe(409);
    expect(refused.body.message).toContain("There is already a profile 'taken'");
    expect(await vms.count()).toBe(before);
  });

  it('whose VMs have a taken name keeps no profile', async () => {
    await vms.active({ name: 'occupied' });
    expect((await vms.post({ name: 'occupied', profile: { name: 'unkept' } })).status).toBe(409);
    expect(await names()).not.toContain('unkept');
  });

  it('that only asks where the VMs would go keeps no profile', async () => {
    expect((await vms.post({ name: 'dry', profile: { name: 'dry' } }, {}, '?dry_run=true')).status).toBe(200);
    expect(await names()).not.toContain('dry');
  });

  it('sent twice under one idempotency key keeps one profile', async () => {
    const headers = { 'idempotency-key': 'once' };
    const change = { name: 'idempotent', profile: { name: 'idempotent' } };
    const [one, two] = await Promise.all([vms.post(change, headers), vms.post(change, headers)]);
    expect([one.status, two.status]).toEqual([200, 200]);
    expect(two.body.instances[0].id).toBe(one.body.instances[0].id);
    expect((await names()).filter((name) => name === 'idempotent')).toHaveLength(1);
  });
});
