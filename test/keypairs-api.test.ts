import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createHash } from 'node:crypto';
import { startApi, type Api } from './support/api.js';
import { eventually } from './support/eventually.js';
import { mismatches } from './support/infrahub-model.js';

const BLOB = 'AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl';
const KEY = `ssh-ed25519 ${BLOB} ada@laptop`;

let api: Api;

beforeAll(async () => {
  api = await startApi();
}, 60_000);
afterAll(async () => await api?.close(), 60_000);
beforeEach(async () => {
  await api.database.query('TRUNCATE environment CASCADE');
  for (const owner of [api.ada, api.eve])
    await owner.api.post('/v1/core/environments').send({ name: 'demo', region: 'default-1' }).expect(200);
});

const importing = (change: object = {}, owner = api.ada) =>
  owner.api.post('/v1/core/keypairs').send({ environment_name: 'demo', name: 'laptop', public_key: KEY, ...change });

describe('a keypair', () => {
  it('is imported, in the shape that clients know, with the fingerprint of its key', async () => {
    const { body } = await importing().expect(200);
    expect(mismatches('ImportKeypairResponse', body)).toEqual([]);
    const md5 = createHash('md5').update(Buffer.from(BLOB, 'base64')).digest('hex');
    expect(body.keypair).toMatchObject({
      name: 'laptop',
      public_key: KEY,
      fingerprint: md5.match(/../g)!.join(':'),
      environment: { name: 'demo', region: 'default-1' },
    });
  });

  it('keeps its key byte for byte, because Terraform compares it with the plan', async () => {
    const { body } = await importing({ public_key: `${KEY}\n` }).expect(200);
    expect(body.keypair.public_key).toBe(`${KEY}\n`);
  });

  it.each([
    ['not a key', { public_key: 'hello' }, /begin with its type/],
    ['a damaged key', { public_key: KEY.replace('IOMq', 'IO') }, /public_key is damaged/],
    ['a private key', { public_key: '-----BEGIN OPENSSH PRIVATE KEY-----' }, /private key/],
    ['two lines', { public_key: `${KEY}\n${KEY}` }, /one line/],
    ['a key with NUL', { public_key: `${KEY}\0` }, /one line/],
    ['no key', { public_key: undefined }, /public_key is required/],
    ['a long name', { name: 'x'.repeat(51) }, /name must be shorter/],
    ['an empty name', { name: '' }, /name/],
    ['a name with NUL', { name: 'nul\0' }, /control characters/],
    ['a name of several lines', { name: 'a\nb' }, /control characters/],
    ['an environment with NUL', { environment_name: 'nul\0' }, /environment_name/],
    ['an unknown field', { colour: 'red' }, /colour is not a known field/],
  ])('is refused with %s', async (_, change, reason) => {
    const { body } = await importing(change).expect(400);
    expect(body).toMatchObject({ status: false, error_reason: 'bad_request', message: expect.stringMatching(reason) });
  });

  it('needs an environment of the organization that exists', async () => {
    const missing = await importing({ environment_name: 'nowhere' }).expect(404);
    await api.ada.api.post('/v1/core/environments').send({ name: 'private', region: 'default-1' });
    const foreign = await importing({ environment_name: 'private' }, api.eve).expect(404);
    expect(foreign.body).toEqual(missing.body);
  });

  it('has a name of its own in its environment, also when several ask at the same moment', async () => {
    const answers = await Promise.all(Array.from({ length: 5 }, () => importing()));
    expect(answers.map((answer) => answer.status).sort()).toEqual([200, 409, 409, 409, 409]);
    await importing({}, api.eve).expect(200);
  });

  it('can be renamed, but not to a name that is taken', async () => {
    const { id } = (await importing().expect(200)).body.keypair;
    await importing({ name: 'desktop' }).expect(200);
    const { body } = await api.ada.api.put(`/v1/core/keypair/${id}`).send({ name: 'old laptop' }).expect(200);
    expect(mismatches('UpdateKeypairNameResponse', body)).toEqual([]);
    expect(body.keypair).toMatchObject({ id, name: 'old laptop', public_key: KEY });
    await api.ada.api.put(`/v1/core/keypair/${id}`).send({ name: 'desktop' }).expect(409);
    await api.ada.api.put(`/v1/core/keypair/${id}`).send({ name: 'x', public_key: KEY }).expect(400);
  });

  it('can be deleted once', async () => {
    const { id } = (await importing().expect(200)).body.keypair;
    const { body } = await api.ada.api.delete(`/v1/core/keypair/${id}`).expect(200);
    expect(mismatches('ResponseModel', body)).toEqual([]);
    await api.ada.api.delete(`/v1/core/keypair/${id}`).expect(404);
  });

  it('is nobody else’s: another organization gets the words for a missing one', async () => {
    const { id } = (await importing().expect(200)).body.keypair;
    const missing = await api.eve.api.delete('/v1/core/keypair/999999').expect(404);
    for (const answer of [
      await api.eve.api.delete(`/v1/core/keypair/${id}`).expect(404),
      await api.eve.api.put(`/v1/core/keypair/${id}`).send({ name: 'mine' }).expect(404),
    ])
      expect(answer.body).toEqual(missing.body);
    expect((await api.eve.api.get('/v1/core/keypairs')).body.count).toBe(0);
    expect((await api.ada.api.get('/v1/core/keypairs')).body.keypairs).toMatchObject([{ id, name: 'laptop' }]);
  });

  it.each(['0', 'abc', '2147483648', '%00'])('is not found under the id %s', async (id) => {
    await api.ada.api.delete(`/v1/core/keypair/${id}`).expect(404);
  });

  it('never slips into an environment whose deletion is under way', async () => {
    const deletion = api.database.createQueryRunner();
    await deletion.startTransaction();
    await deletion.query('SELECT id FROM environment WHERE organization_id = $1 FOR UPDATE', [api.ada.organizationId]);
    const imported = importing().then((answer) => answer.status);
    await eventually(async () => {
      const waiting = await api.database.query(
        `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
      );
      expect(waiting).toHaveLength(1);
    });
    await deletion.query('UPDATE environment SET deleted_at = now() WHERE organization_id = $1', [api.ada.organizationId]);
    await deletion.commitTransaction();
    await deletion.release();
    expect(await imported).toBe(404);
  });
});

describe('the list of keypairs', () => {
  const list = async (query: object = {}) => (await api.ada.api.get('/v1/core/keypairs').query(query).expect(200)).body;

  it('is whole when no page is asked for', async () => {
    for (let index = 0; index < 11; index++) await importing({ name: `k${index}` }).expect(200);
    const body = await list();
    expect(mismatches('Keypairs', body, ['page', 'page_size'])).toEqual([]);
    expect(body).toMatchObject({ count: 11, page: null, page_size: null });
    expect(body.keypairs).toHaveLength(11);
  });

  it('comes by pages and is searched by part of the name, in any case', async () => {
    for (const name of ['Laptop', 'desktop', '100%']) await importing({ name }).expect(200);
    const page = await list({ page: 1, pageSize: 2 });
    expect(mismatches('Keypairs', page)).toEqual([]);
    expect(page).toMatchObject({ count: 3, keypairs: [{ name: 'Laptop' }, { name: 'desktop' }] });
    expect(await list({ search: 'TOP' })).toMatchObject({ count: 2 });
    expect(await list({ search: '%' })).toMatchObject({ count: 1, keypairs: [{ name: '100%' }] });
    expect(await list({ search: 'top', page: 2, pageSize: 1 })).toMatchObject({ count: 2, keypairs: [{ name: 'desktop' }] });
  });

  it('is refused with a wrong key or a search that no text can be', async () => {
    await api.as('baton_key_wrong').get('/v1/core/keypairs').expect(401);
    await api.ada.api.get('/v1/core/keypairs?search=%00').expect(400);
  });
});

describe('the newest Python SDK', () => {
  it('finds the types of keys that can be imported', async () => {
    const { body } = await api.ada.api.get('/v1/core/supported-keypairs').expect(200);
    expect(body.status).toBe(true);
    expect(body.supported_key_types).toEqual(expect.arrayContaining(['ssh-ed25519', 'ssh-rsa']));
  });
});
