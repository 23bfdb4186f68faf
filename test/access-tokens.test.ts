/** Access tokens: their holder in another organization, for a while, and never beyond the key that they came from. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { newSecret } from '../src/conductor/identity/secrets.js';
import { insert, insertApiKey, startApi, type Api, type Client } from './support/api.js';

let api: Api;

beforeAll(async () => {
  api = await startApi();
}, 60_000);
afterAll(async () => await api?.close(), 60_000);

/** Ada belongs to eve's organization too, without a role. */
beforeEach(async () => {
  await api.database.query(`DELETE FROM api_key WHERE name <> 'first'`);
  await api.database.query('DELETE FROM membership WHERE organization_id <> $1 AND user_id = $2', [api.ada.organizationId, api.ada.userId]);
  await insert(api.database, 'membership', { organization_id: api.eve.organizationId, user_id: api.ada.userId, role: 'member' }).catch(() => undefined);
});

const tokenOf = async (client: Client, organizationId = api.eve.organizationId): Promise<string> =>
  (await client.get(`/v1/auth/token/change-org/${organizationId}`).expect(200)).body.token.access_token;

const bearer = (token: string) => api.anonymous.get('/v1/auth/organizations').set('authorization', `Bearer ${token}`);

const hours = (count: number): Date => new Date(Date.now() + count * 3_600_000);

async function keyUntil(expiresAt: Date | null): Promise<{ id: number; client: Client }> {
  const key = newSecret('key');
  const id = await insertApiKey(api.database, api.ada, key, `key ${key}`, expiresAt);
  return { id, client: api.as(key) };
}

describe('an access token', () => {
  it('speaks for its user in the other organization, as a bearer', async () => {
    const { body } = await bearer(await tokenOf(api.ada.api)).expect(200);
    expect(body.organization.id).toBe(api.eve.organizationId);
    expect((await api.as(await tokenOf(api.ada.api)).get('/v1/auth/me')).body.user.username).toBe('ada');
  });

  it('may do there what its user may do there, and no more', async () => {
    const there = api.as(await tokenOf(api.ada.api));
    await there.post('/v1/core/environments').send({ name: 'mine', region: 'default-1' }).expect(403);
    await api.ada.api.post('/v1/core/environments').send({ name: 'at-home', region: 'default-1' }).expect(200);
    const { body } = await there.get('/v1/core/environments').expect(200);
    expect(body.environments).toEqual([]);
  });

  it('is not made for an organization that its user does not belong to, in the words for a missing one', async () => {
    const foreign = await api.eve.api.get(`/v1/auth/token/change-org/${api.ada.organizationId}`).expect(404);
    const missing = await api.eve.api.get('/v1/auth/token/change-org/2147483647').expect(404);
    expect(foreign.body).toEqual(missing.body);
  });

  it('is stored as a hash alone', async () => {
    const token = await tokenOf(api.ada.api);
    const rows = await api.database.query('SELECT * FROM access_token');
    expect(JSON.stringify(rows)).not.toContain(token);
    expect(rows.length).toBeGreaterThan(0);
  });

  it('lasts an hour', async () => {
    const token = await tokenOf(api.ada.api);
    const [{ minutes }] = await api.database.query(
      'SELECT extract(epoch FROM expires_at - created_at) / 60 AS minutes FROM access_token ORDER BY id DESC LIMIT 1',
    );
    expect(Number(minutes)).toBeCloseTo(60, 3);
    await api.database.query(`UPDATE access_token SET expires_at = now() - interval '1 second'`);
    await bearer(token).expect(401);
  });

  it('ends with the membership in the other organization', async () => {
    const token = await tokenOf(api.ada.api);
    await api.eve.api.post('/v1/auth/organizations/remove-member').send({ email: 'ada@example.org' }).expect(200);
    await bearer(token).expect(401);
  });
});

/** CVE-2026-44394: what was made with a credential outlived it. */
describe('a child of a key', () => {
  it('never outlives its parent: a token ends when the key expires', async () => {
    const expiry = hours(0.25);
    const { id, client } = await keyUntil(expiry);
    const token = await tokenOf(client);
    const [row] = await api.database.query('SELECT expires_at FROM access_token WHERE api_key_id = $1', [id]);
    expect(row.expires_at.getTime()).toBe(expiry.getTime());
    await api.database.query('UPDATE api_key SET expires_at = now() WHERE id = $1', [id]);
    await bearer(token).expect(401);
  });

  it('never outlives its parent: a token ends when the key is revoked', async () => {
    const { id, client } = await keyUntil(null);
    const token = await tokenOf(client);
    await bearer(token).expect(200);
    await api.ada.api.delete(`/v1/api-key/${id}`).expect(200);
    await bearer(token).expect(401);
  });

  it('never outlives its parent: neither a token nor a key made with a token lasts longer than that token', async () => {
    const token = await tokenOf(api.ada.api);
    await api.database.query(`UPDATE access_token SET expires_at = now() + interval '5 minutes'`);
    const [{ expires_at: end }] = await api.database.query('SELECT max(expires_at) AS expires_at FROM access_token');
    const there = api.as(token);
    await tokenOf(there, api.ada.organizationId);
    const [{ latest }] = await api.database.query('SELECT max(expires_at) AS latest FROM access_token');
    expect(latest).toEqual(end);
    const { body } = await there.post('/v1/api-key/generate').send({ name: 'child', expires_at: hours(9).toISOString() }).expect(200);
    expect(body.api_key.expires_at).toBe(end.toISOString().slice(0, 19));
    const { body: shown } = await api.as(body.api_key.key).get('/v1/auth/organizations').expect(200);
    expect(shown.organization.id).toBe(api.eve.organizationId);
  });
});

describe('multi-factor authentication', () => {
  it('is truthfully said not to be there', async () => {
    const { body } = await api.ada.api.get('/v1/auth/me/mfa').expect(200);
    expect(body.mfa).toEqual({ mfa_enabled: false });
    const { body: disabled } = await api.ada.api.post('/v1/auth/me/mfa/disable').expect(200);
    expect(disabled).toEqual({ status: true, message: 'There is no multi-factor authentication to disable: API keys are the only way in.' });
  });
});
