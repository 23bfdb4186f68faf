import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { insert, startApi, type Api } from './support/api.js';
import { mismatches } from './support/infrahub-model.js';

let api: Api;

beforeAll(async () => {
  api = await startApi();
}, 120_000);
afterAll(async () => await api?.close(), 60_000);
beforeEach(async () => {
  await api.database.query('TRUNCATE environment CASCADE');
});

const PATH = '/v1/core/environments';

async function environment(name: string, owner = api.ada): Promise<number> {
  const { body } = await owner.api.post(PATH).send({ name, region: 'default-1' }).expect(200);
  return body.environment.id;
}

async function virtualMachine(environmentId: number): Promise<void> {
  const flavor_id = await insert(api.database, 'flavor', {
    region_id: api.regionId,
    name: `flavor-of-${environmentId}`,
    cpu: 1,
    ram_mib: 256,
    disk: 1,
    gpu: '',
    gpu_count: 0,
  });
  const image_id = await insert(api.database, 'image', {
    region_id: api.regionId,
    name: `image-of-${environmentId}`,
    type: 'Debian',
    version: '12',
    size_bytes: 1,
    files: {},
  });
  await insert(api.database, 'virtual_machine', {
    id: environmentId,
    uuid: crypto.randomUUID(),
    organization_id: api.ada.organizationId,
    environment_id: environmentId,
    user_id: api.ada.userId,
    name: 'web',
    flavor_id,
    image_id,
    port_randomization: false,
    desired_power: 'running',
    fixed_ip: '10.128.0.2',
    hardware: '{}',
    created_at: new Date(),
  });
}

describe('an environment', () => {
  it('is answered with in the shape that clients know, by create, get and update', async () => {
    const created = await api.ada.api.post(PATH).send({ name: 'staging', region: 'default-1' }).expect(200);
    expect(mismatches('Environment', created.body)).toEqual([]);
    expect(created.body.environment).toMatchObject({ name: 'staging', region: 'default-1' });

    const id = created.body.environment.id as number;
    const shown = await api.ada.api.get(`${PATH}/${id}`).expect(200);
    expect(mismatches('Environment', shown.body)).toEqual([]);
    expect(shown.body.environment).toEqual(created.body.environment);

    const renamed = await api.ada.api.put(`${PATH}/${id}`).send({ name: 'production' }).expect(200);
    expect(mismatches('Environment', renamed.body)).toEqual([]);
    expect(renamed.body.environment).toEqual({ ...created.body.environment, name: 'production' });
  });

  it.each(['../up', 'a/b', 'a b', '', 'line\nbreak', 'nul\0', '12', 'labels', 'x'.repeat(51), 7, null])(
    'cannot be called %j',
    async (name) => {
      const { body } = await api.ada.api.post(PATH).send({ name, region: 'default-1' }).expect(400);
      expect(body).toMatchObject({ status: false, error_reason: 'bad_request', message: expect.stringMatching(/name must/) });
    },
  );

  it('needs a region that exists', async () => {
    const { body } = await api.ada.api.post(PATH).send({ name: 'x', region: 'MARS-1' }).expect(404);
    expect(body.message).toContain("no region 'MARS-1'");
    await api.ada.api.post(PATH).send({ name: 'x', region: 'nul\0' }).expect(400);
    await api.ada.api.post(PATH).send({ name: 'x' }).expect(400);
  });

  it('takes no unknown field', async () => {
    const { body } = await api.ada.api.post(PATH).send({ name: 'x', region: 'default-1', colour: 'red' }).expect(400);
    expect(body.message).toContain('colour is not a known field');
  });

  it('has a name of its own in the organization, also when two ask at the same moment', async () => {
    const answers = await Promise.all(
      Array.from({ length: 6 }, () => api.ada.api.post(PATH).send({ name: 'twin', region: 'default-1' })),
    );
    expect(answers.map((answer) => answer.status).sort()).toEqual([200, 409, 409, 409, 409, 409]);
    expect(answers.find((answer) => answer.status === 409)?.body.error_reason).toBe('already_exist');
    await environment('twin', api.eve);

    const other = await environment('other');
    await api.ada.api.put(`${PATH}/${other}`).send({ name: 'twin' }).expect(409);
  });

  it('is nobody else’s: another organization gets the words for a missing one', async () => {
    const id = await environment('secret');
    const missing = await api.eve.api.get(`${PATH}/999999`).expect(404);
    for (const answer of [
      await api.eve.api.get(`${PATH}/${id}`).expect(404),
      await api.eve.api.put(`${PATH}/${id}`).send({ name: 'mine' }).expect(404),
      await api.eve.api.delete(`${PATH}/${id}`).expect(404),
    ])
      expect(answer.body).toEqual(missing.body);
    expect((await api.eve.api.get(PATH)).body.environments).toEqual([]);
    await api.ada.api.get(`${PATH}/${id}`).expect(200);
  });

  it.each(['0', '-1', '1.5', 'abc', '2147483648', '99999999999999', '%00', '1%0A', "1'"])(
    'is not found under the id %s',
    async (id) => {
      const { body } = await api.ada.api.get(`${PATH}/${id}`).expect(404);
      expect(body).toMatchObject({ status: false, error_reason: 'not_found' });
    },
  );

  it('can be deleted when it is empty, and its name is free again', async () => {
    const id = await environment('brief');
    const { body } = await api.ada.api.delete(`${PATH}/${id}`).expect(200);
    expect(mismatches('ResponseModel', body)).toEqual([]);
    await api.ada.api.get(`${PATH}/${id}`).expect(404);
    await api.ada.api.delete(`${PATH}/${id}`).expect(404);
    expect((await api.ada.api.get(PATH)).body.count).toBe(0);
    await environment('brief');
  });

  it('cannot be deleted while VMs or keypairs are in it, and says how many', async () => {
    const id = await environment('full');
    await virtualMachine(id);
    await insert(api.database, 'keypair', { environment_id: id, name: 'k', public_key: 'k', fingerprint: 'f' });
    const { body } = await api.ada.api.delete(`${PATH}/${id}`).expect(405);
    expect(body).toMatchObject({ status: false, error_reason: 'not_allowed' });
    expect(body.message).toContain('virtual machines: 1, volumes: 0, firewalls: 0, keypairs: 1');

    await api.database.query('DELETE FROM keypair');
    await api.database.query('UPDATE virtual_machine SET deleted_at = now()');
    await api.ada.api.delete(`${PATH}/${id}`).expect(200);
  });
});

describe('the list of environments', () => {
  it('is whole when no page is asked for', async () => {
    for (let index = 0; index < 12; index++) await environment(`e${index}`);
    const { body } = await api.ada.api.get(PATH).expect(200);
    expect(mismatches('Environments', body, ['page', 'page_size'])).toEqual([]);
    expect(body).toMatchObject({ count: 12, page: null, page_size: null });
    expect(body.environments.map((each: { name: string }) => each.name)).toEqual([...Array(12).keys()].map((i) => `e${i}`));
  });

  it('comes by pages when asked, and counts all', async () => {
    for (const name of ['a', 'b', 'c']) await environment(name);
    const { body } = await api.ada.api.get(`${PATH}?page=2&pageSize=2`).expect(200);
    expect(mismatches('Environments', body)).toEqual([]);
    expect(body).toMatchObject({ count: 3, page: 2, page_size: 2, environments: [{ name: 'c' }] });
    expect((await api.ada.api.get(`${PATH}?page=9`)).body).toMatchObject({ count: 3, page: 9, environments: [] });
    expect((await api.ada.api.get(`${PATH}?page_size=1`)).body).toMatchObject({ page: 1, environments: [{ name: 'a' }] });
  });

  it.each(['page=0', 'page=-1', 'page=x', 'pageSize=1001', 'page=1e99', 'search=%00', 'colour=red'])(
    'refuses ?%s',
    async (query) => {
      const { body } = await api.ada.api.get(`${PATH}?${query}`).expect(400);
      expect(body.error_reason).toBe('bad_request');
    },
  );

  it('is searched by id, part of the name or of the region, in any case', async () => {
    const id = await environment('Web_Shop');
    await environment('other');
    const found = async (search: string): Promise<string[]> => {
      const { body } = await api.ada.api.get(PATH).query({ search }).expect(200);
      expect(body.count).toBe(body.environments.length);
      return body.environments.map((each: { name: string }) => each.name);
    };
    expect(await found('web_')).toEqual(['Web_Shop']);
    expect(await found(String(id))).toEqual(['Web_Shop']);
    expect(await found('DEFAULT')).toEqual(['Web_Shop', 'other']);
    expect(await found('%')).toEqual([]);
  });

  it('may be asked for with a slash at the end', async () => {
    await api.ada.api.get(`${PATH}/`).expect(200);
  });

  it('is refused without a key or with a wrong one', async () => {
    for (const client of [api.anonymous, api.as('baton_key_wrong')]) {
      const { body } = await client.get(PATH).expect(401).expect('content-type', /json/);
      expect(body).toMatchObject({ status: false, error_reason: 'unauthorized' });
    }
  });
});

describe('the name of an environment', () => {
  const ask = (name: string) => api.ada.api.get(`${PATH}/name-availability/${name}`);

  it('is available until it is taken in the organization', async () => {
    await environment('taken', api.eve);
    const { body } = await ask('taken').expect(200);
    expect(mismatches('NameAvailableModel', body)).toEqual([]);
    expect(body).toMatchObject({ name: 'taken', available: true });
    await environment('taken');
    expect((await ask('taken')).body.available).toBe(false);
  });

  it('is not available when it is a word of the API’s paths or a number', async () => {
    expect((await ask('labels')).body).toMatchObject({ available: false, message: expect.stringContaining('paths') });
    expect((await ask('42')).body.available).toBe(false);
  });

  it.each(['..%2Fetc', '%00', 'a%0Ab', 'x'.repeat(60)])('is refused when it is %s', async (name) => {
    await ask(name).expect(400);
  });
});
