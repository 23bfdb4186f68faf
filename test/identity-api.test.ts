import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { newSecret } from '../src/conductor/identity/secrets.js';
import { insertApiKey, startApi, type Api } from './support/api.js';
import { mismatches } from './support/infrahub-model.js';

let api: Api;

beforeAll(async () => {
  api = await startApi();
}, 60_000);
afterAll(async () => await api?.close(), 60_000);
beforeEach(async () => {
  await api.database.query(`DELETE FROM api_key WHERE name <> 'first'`);
});

const generating = (request: object, client = api.ada.api) => client.post('/v1/api-key/generate').send(request);

const hours = (count: number): Date => new Date(Date.now() + count * 3_600_000);

async function expiring(when: Date): Promise<string> {
  const key = newSecret('key');
  await insertApiKey(api.database, api.ada, key, `until ${when.toISOString()}`, when);
  return key;
}

describe('the caller', () => {
  it('is shown as the user that the key belongs to', async () => {
    const { body } = await api.ada.api.get('/v1/auth/me').expect(200);
    expect(mismatches('AuthUserInfoResponseModel', body)).toEqual([]);
    expect(body.user).toMatchObject({ username: 'ada', email: 'ada@example.org' });
    expect((await api.eve.api.get('/v1/auth/me/')).body.user.username).toBe('eve');
  });

  it.each([
    ['api_key', (key: string) => key],
    ['api-key', (key: string) => key],
    ['authorization', (key: string) => `Bearer ${key}`],
    ['authorization', (key: string) => `Token ${key}`],
  ])('may send the key as %s', async (header, value) => {
    await api.anonymous.get('/v1/auth/me').set(header, value(api.ada.key)).expect(200);
  });

  it.each(['', 'wrong', 'nul\u00ff', "' OR 1=1 --"])('is refused with the key %j', async (key) => {
    const { body } = await api.anonymous.get('/v1/auth/me').set('api_key', key).expect(401);
    expect(body).toMatchObject({ status: false, error_reason: 'unauthorized' });
  });

  it('is refused without a key, and with one in the query, where it would be logged', async () => {
    await api.anonymous.get('/v1/auth/me').expect(401);
    await api.anonymous.get(`/v1/auth/me?api_key=${api.ada.key}&access_token=${api.ada.key}`).expect(401);
  });

  it('is refused once the key has expired', async () => {
    await api.as(await expiring(hours(1))).get('/v1/auth/me').expect(200);
    await api.as(await expiring(hours(-1))).get('/v1/auth/me').expect(401);
  });
});

describe('an API key', () => {
  it('is shown in clear when it is generated, works, and is masked ever after', async () => {
    const made = await generating({ name: 'ci', description: 'for the build' }).expect(200);
    expect(mismatches('GenerateUpdateApiKeyResponseModel', made.body)).toEqual([]);
    const { id, key } = made.body.api_key;
    await api.as(key).get('/v1/auth/me').expect(200);

    const list = await api.ada.api.get('/v1/api-key').expect(200);
    expect(mismatches('GetApiKeysResponseModel', list.body)).toEqual([]);
    expect(list.body.api_keys.map((each: { name: string }) => each.name)).toEqual(['first', 'ci']);
    expect(list.body.api_keys[1]).toMatchObject({ id, key: `********-****-****-****-********${key.slice(-4)}` });
    expect(JSON.stringify(list.body)).not.toContain(key);

    const stored = await api.database.query('SELECT * FROM api_key WHERE id = $1', [id]);
    expect(JSON.stringify(stored)).not.toContain(key);
  });

  it('has a description of text even when none was given', async () => {
    const { body } = await generating({ name: 'bare' }).expect(200);
    expect(body.api_key).toMatchObject({ description: '', expires_at: null });
  });

  it.each([
    {},
    { name: '' },
    { name: '   ' },
    { name: 'x'.repeat(201) },
    { name: 'nul\0' },
    { name: 7 },
    { name: 'a', role: 'admin' },
    { name: 'a', expires_at: 'tomorrow' },
    { name: 'a', expires_at: '2030-13-45T00:00:00Z' },
    { name: 'a', expires_at: '2001-01-01T00:00:00Z' },
  ])('is not generated from %j', async (request) => {
    const { body } = await generating(request).expect(400);
    expect(body.error_reason).toBe('bad_request');
  });

  it('has a name of its own among those of its user', async () => {
    const answers = await Promise.all(Array.from({ length: 4 }, () => generating({ name: 'twin' })));
    expect(answers.map((answer) => answer.status).sort()).toEqual([200, 409, 409, 409]);
    await generating({ name: 'twin' }, api.eve.api).expect(200);
  });

  it('expires when it was asked to', async () => {
    const { body } = await generating({ name: 'brief', expires_at: hours(2).toISOString() }).expect(200);
    expect(body.api_key.expires_at).toBe(hours(2).toISOString().slice(0, 16) + body.api_key.expires_at.slice(16));
  });

  it('never outlives the expiring key that made it', async () => {
    const end = hours(3);
    const parent = api.as(await expiring(end));
    const asked = await generating({ name: 'forever' }, parent).expect(200);
    const longer = await generating({ name: 'longer', expires_at: hours(9).toISOString() }, parent).expect(200);
    const shorter = await generating({ name: 'shorter', expires_at: hours(1).toISOString() }, parent).expect(200);
    const limit = end.toISOString().slice(0, 19);
    expect([asked.body.api_key.expires_at, longer.body.api_key.expires_at]).toEqual([limit, limit]);
    expect(shorter.body.api_key.expires_at < limit).toBe(true);
  });

  it('can be renamed and described, but stays the same key', async () => {
    const { id, key } = (await generating({ name: 'ci', description: 'old' })).body.api_key;
    const { body } = await api.ada.api.put(`/v1/api-key/${id}`).send({ name: 'build' }).expect(200);
    expect(mismatches('GenerateUpdateApiKeyResponseModel', body)).toEqual([]);
    expect(body.api_key).toMatchObject({ id, name: 'build', description: 'old' });
    expect(body.api_key.key).not.toBe(key);
    await api.as(key).get('/v1/auth/me').expect(200);
    await api.ada.api.put(`/v1/api-key/${id}`).send({ name: 'first' }).expect(409);
    await api.ada.api.put(`/v1/api-key/${id}`).send({ name: 'x', expires_at: hours(1).toISOString() }).expect(400);
  });

  it('is of no use from the moment it is deleted, be it by itself', async () => {
    const { id, key } = (await generating({ name: 'suicidal' })).body.api_key;
    const { body } = await api.as(key).delete(`/v1/api-key/${id}`).expect(200);
    expect(mismatches('CommonResponseModel', body)).toEqual([]);
    await api.as(key).get('/v1/auth/me').expect(401);
    await api.ada.api.delete(`/v1/api-key/${id}`).expect(404);
  });

  it('is nobody else’s: another user gets the words for a missing one', async () => {
    const { id } = (await generating({ name: 'private' })).body.api_key;
    const missing = await api.eve.api.delete('/v1/api-key/999999').expect(404);
    expect((await api.eve.api.delete(`/v1/api-key/${id}`).expect(404)).body).toEqual(missing.body);
    expect((await api.eve.api.put(`/v1/api-key/${id}`).send({ name: 'x' }).expect(404)).body).toEqual(missing.body);
    await api.eve.api.delete('/v1/api-key/abc').expect(404);
  });
});
