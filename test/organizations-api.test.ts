/** Organizations, members, invites and roles, as Infrahub's clients read them. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { addMember } from '../src/conductor/identity/add-member.js';
import { newSecret } from '../src/conductor/identity/secrets.js';
import { insert, insertApiKey, startApi, type Api, type Client } from './support/api.js';
import { mismatches } from './support/infrahub-model.js';

let api: Api;
/** A member of ada's organization, without a role. */
let bob: { userId: number; api: Client };

beforeAll(async () => {
  api = await startApi();
}, 60_000);
afterAll(async () => await api?.close(), 60_000);

beforeEach(async () => {
  await api.database.query(`DELETE FROM membership WHERE role = 'member'`);
  await api.database.query('DELETE FROM role');
  await api.database.query('DELETE FROM invite');
  await api.database.query(`DELETE FROM user_account WHERE username = 'bob'`);
  bob = await joining('bob');
});

async function joining(username: string, role = 'member'): Promise<{ userId: number; api: Client }> {
  const userId = await insert(api.database, 'user_account', { email: `${username}@example.org`, username, name: username });
  await insert(api.database, 'membership', { organization_id: api.ada.organizationId, user_id: userId, role });
  const key = newSecret('key');
  await insertApiKey(api.database, { organizationId: api.ada.organizationId, userId }, key, `of ${username}`);
  return { userId, api: api.as(key) };
}

const granting = async (policies: string[], permissions: string[] = []) => {
  const all = await api.ada.api.get('/v1/auth/policies').expect(200);
  const each = await api.ada.api.get('/v1/auth/permissions').expect(200);
  return {
    policies: all.body.policies.filter((p: { name: string }) => policies.includes(p.name)).map((p: { id: number }) => p.id),
    permissions: each.body.permissions
      .filter((p: { permission: string }) => permissions.includes(p.permission))
      .map((p: { id: number }) => p.id),
  };
};

async function role(name: string, policies: string[], permissions: string[] = []): Promise<number> {
  const request = { name, description: `${name} of a test`, ...(await granting(policies, permissions)) };
  return (await api.ada.api.post('/v1/auth/roles').send(request).expect(201)).body.role.id;
}

const assign = (userId: number, roleId: number, as = api.ada.api) =>
  as.put(`/v1/auth/users/${userId}/assign-roles`).send({ role_id: roleId });

describe('the organization', () => {
  it('is shown with its members and their roles', async () => {
    await assign(bob.userId, await role('reader', ['ReadOnly'])).expect(200);
    const { body } = await api.ada.api.get('/v1/auth/organizations').expect(200);
    expect(mismatches('GetOrganizationResponseModel', body, ['last_login'])).toEqual([]);
    expect(body.organization).toMatchObject({ id: api.ada.organizationId, name: 'ada', total_instances: 0, total_volumes: 0 });
    expect(body.organization.users).toMatchObject([
      { username: 'ada', role: 'owner', rbac_roles: [] },
      { username: 'bob', role: 'member', rbac_roles: [{ name: 'reader' }] },
    ]);
  });

  it('is one of several that a user belongs to, of which a key shows no more than the membership', async () => {
    await insert(api.database, 'membership', { organization_id: api.eve.organizationId, user_id: bob.userId, role: 'member' });
    const { body } = await bob.api.get('/v1/auth/me/organizations').expect(200);
    expect(mismatches('UserOrganizationsResponse', body, ['last_login', 'total_instances', 'total_volumes'])).toEqual([]);
    expect(body.status).toBeUndefined();
    expect(body.organizations).toMatchObject([
      { name: 'ada', total_instances: 0, users: [{ username: 'bob' }] },
      { name: 'eve', total_instances: null, users: [{ username: 'bob' }] },
    ]);
  });

  it('can be renamed, but not to the name of another', async () => {
    const rename = (name: string) => api.ada.api.put('/v1/auth/organizations/update').send({ name });
    const { body } = await rename('ada and friends').expect(200);
    expect(mismatches('UpdateOrganizationResponseModel', body)).toEqual([]);
    expect((await rename('eve').expect(409)).body.error_reason).toBe('already_exist');
    await rename('ab').expect(400);
    await rename('ada').expect(200);
  });

  it('keeps its last owner', async () => {
    const { body } = await api.ada.api.post('/v1/auth/organizations/remove-member').send({ email: 'ada@example.org' });
    expect(body).toMatchObject({ status: false, error_reason: 'bad_request' });
    await api.ada.api.get('/v1/auth/me').expect(200);
  });

  it('keeps one of two owners who remove each other at once', async () => {
    const two = await joining('cleo', 'owner');
    const remove = (by: Client, email: string) => by.post('/v1/auth/organizations/remove-member').send({ email });
    await Promise.all([remove(api.ada.api, 'cleo@example.org'), remove(two.api, 'ada@example.org')]);
    const owners = await api.database.query(
      `SELECT user_id FROM membership WHERE organization_id = $1 AND role = 'owner'`,
      [api.ada.organizationId],
    );
    expect(owners).toHaveLength(1);
    await api.database.query(`DELETE FROM user_account WHERE username = 'cleo'`);
    await api.database.query(`INSERT INTO membership VALUES ($1, $2, 'owner') ON CONFLICT DO NOTHING`, [
      api.ada.organizationId,
      api.ada.userId,
    ]);
    await insertApiKey(api.database, api.ada, api.ada.key).catch(() => undefined);
  });
});

describe('a member who is removed', () => {
  it('has no valid key from that moment on', async () => {
    await bob.api.get('/v1/core/environments').expect(200);
    const { body } = await api.ada.api.post('/v1/auth/organizations/remove-member').send({ email: 'BOB@example.org' });
    expect(mismatches('RemoveMemberFromOrganizationResponseModel', body)).toEqual([]);
    expect(body.status).toBe(true);
    await bob.api.get('/v1/core/environments').expect(401);
    const [{ count }] = await api.database.query('SELECT count(*)::int FROM api_key WHERE user_id = $1', [bob.userId]);
    expect(count).toBe(0);
  });

  it('cannot be an owner where the remover is none, nor of another organization', async () => {
    const remover = await role('remover', [], ['member:remove', 'organization:read']);
    await assign(bob.userId, remover).expect(200);
    const remove = (by: Client, email: string) => by.post('/v1/auth/organizations/remove-member').send({ email });
    expect((await remove(bob.api, 'ada@example.org').expect(403)).body.message).toMatch(/Only an owner/);
    const missing = await remove(api.ada.api, 'nobody@example.org').expect(404);
    expect((await remove(api.ada.api, 'eve@example.org').expect(404)).body).toEqual(missing.body);
  });
});

describe('the operator', () => {
  const cleo = { organization: 'newcomers', email: 'cleo@example.org' };

  it('makes organization, user and member, and later an owner of him', async () => {
    const first = api.as(await addMember(api.database, { ...cleo, owner: false }));
    expect((await first.get('/v1/auth/organizations').expect(200)).body.organization).toMatchObject({
      name: 'newcomers',
      users: [{ email: 'cleo@example.org', role: 'member' }],
    });
    await first.post('/v1/core/environments').send({ name: 'mine', region: 'default-1' }).expect(403);
    const second = api.as(await addMember(api.database, { ...cleo, email: 'Cleo@example.org', owner: true }));
    await second.post('/v1/core/environments').send({ name: 'mine', region: 'default-1' }).expect(200);
    await first.get('/v1/auth/invites').expect(200);
    await addMember(api.database, { ...cleo, owner: false });
    expect((await first.get('/v1/auth/organizations')).body.organization.users).toMatchObject([{ role: 'owner' }]);
  });
});

describe('an invite', () => {
  const invite = (email: string, by = api.ada.api) => by.post('/v1/auth/invites').send({ email });

  it('makes whom it is for a member, with a key of the organization', async () => {
    const made = await invite('Eve@Example.org').expect(201);
    expect(mismatches('InviteUserResponseModel', made.body)).toEqual([]);
    expect(made.body.invite).toMatchObject({ email: 'eve@example.org', status: 'PENDING' });
    const { body } = await api.eve.api.get(`/v1/auth/invites/${made.body.invite.id}/accept`).expect(200);
    expect(mismatches('CommonResponseModel', body)).toEqual([]);
    const key = api.as(body.api_key.key);
    expect((await key.get('/v1/auth/organizations')).body.organization.name).toBe('ada');
    await key.post('/v1/core/environments').send({ name: 'mine', region: 'default-1' }).expect(403);
    const { body: list } = await api.ada.api.get('/v1/auth/invites').expect(200);
    expect(mismatches('GetInvitesResponseModel', list)).toEqual([]);
    expect(list.invites).toMatchObject([{ status: 'ACCEPTED' }]);
  });

  it('gives a key that lives no longer than the one it was accepted with', async () => {
    const { body } = await invite('eve@example.org').expect(201);
    const expires = new Date(Date.now() + 3_600_000);
    const key = newSecret('key');
    await insertApiKey(api.database, api.eve, key, 'short', expires);
    const accepted = await api.as(key).get(`/v1/auth/invites/${body.invite.id}/accept`).expect(200);
    expect(accepted.body.api_key.expires_at).toBe(expires.toISOString().slice(0, 19));
  });

  it('is accepted by nobody else, and only once, however often at once', async () => {
    const { body } = await invite('eve@example.org').expect(201);
    const path = `/v1/auth/invites/${body.invite.id}/accept`;
    const missing = await bob.api.get('/v1/auth/invites/999999/accept').expect(404);
    expect((await bob.api.get(path).expect(404)).body).toEqual(missing.body);
    const answers = await Promise.all(Array.from({ length: 6 }, () => api.eve.api.get(path)));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 404, 404, 404, 404, 404]);
  });

  it('is refused a second time, and for members', async () => {
    await invite('new@example.org').expect(201);
    await invite('NEW@example.org').expect(409);
    await invite('bob@example.org').expect(409);
    await invite('no address').expect(400);
  });

  it('is worth nothing once it was withdrawn, and can be withdrawn by its organization alone', async () => {
    const { body } = await invite('eve@example.org').expect(201);
    await api.eve.api.delete(`/v1/auth/invites/${body.invite.id}`).expect(404);
    const gone = await api.ada.api.delete(`/v1/auth/invites/${body.invite.id}`).expect(200);
    expect(mismatches('CommonResponseModel', gone.body)).toEqual([]);
    await api.eve.api.get(`/v1/auth/invites/${body.invite.id}/accept`).expect(404);
  });
});

describe('a role', () => {
  it('is made, read, changed and deleted, in the shapes of Infrahub', async () => {
    const request = { name: 'operators', description: 'on and off', ...(await granting(['ReadOnly'], ['virtual-machine:operate'])) };
    const made = await api.ada.api.post('/v1/auth/roles').send(request).expect(201);
    expect(mismatches('RbacRoleDetailResponseModel', made.body)).toEqual([]);
    const { id } = made.body.role;
    const one = await api.ada.api.get(`/v1/auth/roles/${id}`).expect(200);
    expect(mismatches('RbacRoleDetailResponseModelFixed', one.body)).toEqual([]);
    expect(one.body.roles).toMatchObject({
      policies: [{ name: 'ReadOnly' }],
      permissions: [{ permission: 'virtual-machine:operate', resource: 'virtual-machine' }],
    });
    const changed = await api.ada.api.put(`/v1/auth/roles/${id}`).send({ name: 'ops', description: '' }).expect(200);
    expect(changed.body.role).toMatchObject({ name: 'ops', policies: [], permissions: [] });
    const list = await api.ada.api.get('/v1/auth/roles').expect(200);
    expect(mismatches('GetRbacRolesResponseModel', list.body)).toEqual([]);
    await api.ada.api.delete(`/v1/auth/roles/${id}`).expect(200);
    await api.ada.api.get(`/v1/auth/roles/${id}`).expect(404);
  });

  it('is refused with a name that is taken or with what there is none of', async () => {
    await role('twice', ['ReadOnly']);
    const post = (change: object) => api.ada.api.post('/v1/auth/roles').send({ name: 'other', description: '', ...change });
    await post({ name: 'twice' }).expect(409);
    expect((await post({ policies: [9999] }).expect(400)).body.message).toMatch(/no policy with the id 9999/);
    expect((await post({ permissions: [9999] }).expect(400)).body.message).toMatch(/no permission with the id 9999/);
    await post({ organization_id: api.eve.organizationId }).expect(400);
  });

  it('decides what a member may do, from the next request on', async () => {
    const create = () => bob.api.post('/v1/core/environments').send({ name: 'bobs', region: 'default-1' });
    const refused = await create().expect(403);
    expect(refused.body).toMatchObject({ status: false, error_reason: 'forbidden' });
    expect(refused.body.message).toMatch(/permission environment:create/);
    const id = await role('builder', ['EnvironmentFullAccess']);
    const assigned = await assign(bob.userId, id).expect(200);
    expect(mismatches('RbacRoleDetailResponseModel', assigned.body)).toEqual([]);
    await create().expect(200);
    await bob.api.get('/v1/core/virtual-machines').expect(403);
    await api.ada.api.delete(`/v1/auth/users/${bob.userId}/roles`).expect(200);
    await bob.api.get('/v1/core/virtual-machines').expect(200);
    await create().expect(403);
  });

  it('shows as permissions of its user', async () => {
    await assign(bob.userId, await role('keys', ['KeypairFullAccess'])).expect(200);
    const names = ['keypair:read', 'keypair:create', 'keypair:update', 'keypair:delete'];
    for (const answer of [
      await bob.api.get('/v1/auth/users/me/permissions').expect(200),
      await api.ada.api.get(`/v1/auth/users/${bob.userId}/permissions`).expect(200),
    ]) {
      expect(mismatches('GetUserPermissionsResponseModel', answer.body)).toEqual([]);
      expect(answer.body.permissions.map(({ permission }: { permission: string }) => permission)).toEqual(names);
    }
    await api.eve.api.get(`/v1/auth/users/${bob.userId}/permissions`).expect(404);
  });

  it('is not deleted while somebody has it', async () => {
    const id = await role('needed', []);
    await assign(bob.userId, id).expect(200);
    expect((await api.ada.api.delete(`/v1/auth/roles/${id}`).expect(400)).body.message).toMatch(/Members have this role/);
    await bob.api.get('/v1/core/environments').expect(403);
  });

  it('of another organization is missing, and cannot be given', async () => {
    const id = await role('ours', ['FullAccess']);
    for (const answer of [
      await api.eve.api.get(`/v1/auth/roles/${id}`),
      await api.eve.api.put(`/v1/auth/roles/${id}`).send({ name: 'mine', description: '' }),
      await api.eve.api.delete(`/v1/auth/roles/${id}`),
      await assign(api.eve.userId, id, api.eve.api),
    ])
      expect(answer.status).toBe(404);
  });

  it('cannot be used to rise: nobody gives what he does not have', async () => {
    const all = ['role:create', 'role:update', 'role:read', 'member:assign-role', 'invite:create'];
    const id = await role('clerk', [], all);
    const full = await role('full', ['FullAccess']);
    await assign(bob.userId, id).expect(200);
    const request = { name: 'mine', description: '', ...(await granting(['FullAccess'])) };
    expect((await bob.api.post('/v1/auth/roles').send(request).expect(403)).body.message).toMatch(/give what you do not have/);
    await bob.api.put(`/v1/auth/roles/${id}`).send(request).expect(403);
    await assign(bob.userId, full, bob.api).expect(403);
    await bob.api.delete(`/v1/auth/users/${bob.userId}/roles`).expect(403);
    await bob.api.post('/v1/auth/invites').send({ email: 'eve@example.org' }).expect(403);
    await bob.api.post('/v1/auth/roles').send({ name: 'less', description: '', ...(await granting([], ['role:read'])) }).expect(201);
  });

  it('is not for owners', async () => {
    const { body } = await assign(api.ada.userId, await role('small', [])).expect(400);
    expect(body.message).toMatch(/owner/);
  });
});

it('permissions and policies are listed in the shapes of Infrahub, each name once', async () => {
  const permissions = (await api.ada.api.get('/v1/auth/permissions').expect(200)).body;
  const policies = (await api.ada.api.get('/v1/auth/policies').expect(200)).body;
  expect(mismatches('GetPermissionsResponseModel', permissions)).toEqual([]);
  expect(mismatches('GetPoliciesResponseModel', policies)).toEqual([]);
  const names = policies.policies.map(({ name }: { name: string }) => name);
  expect(new Set(names).size).toBe(names.length);
});
