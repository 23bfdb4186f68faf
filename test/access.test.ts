/**
 * Who may call what, for every endpoint of the OpenAPI document: an endpoint that nobody thought of fails here, and so
 * does a row for one that there is not. The endpoints are called for real, with ids that nobody has: the question is
 * only whether the guard lets through.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ENDPOINTS, endpointKey, requirementOf } from '../src/conductor/access/endpoints.js';
import { ALL_PERMISSIONS, type Permission } from '../src/conductor/access/permissions.js';
import { POLICIES, READING } from '../src/conductor/access/policies.js';
import { newSecret } from '../src/conductor/identity/secrets.js';
import { insert, insertApiKey, startApi, type Api, type Client } from './support/api.js';

interface Operation {
  readonly method: 'get' | 'post' | 'put' | 'patch' | 'delete';
  /** As in the document, with names of parameters in braces. */
  readonly path: string;
}

/** Behind no API key: health, a schema, and what has keys, tokens or signatures of its own. */
const OPEN = /^\/(healthz|readyz|compute\/|metadata\/|(v1\/)?gitops\/(schema\.json$|git-repo\/\{id\}\/github-webhook$))/;

let api: Api;
let operations: Operation[];

beforeAll(async () => {
  api = await startApi();
  const { body } = await api.anonymous.get('/openapi.json').expect(200);
  operations = Object.entries<object>(body.paths)
    .flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => ({ method: method as Operation['method'], path })),
    )
    .filter(({ path }) => !OPEN.test(path));
}, 60_000);
afterAll(async () => await api?.close(), 60_000);

const nameOf = ({ method, path }: Operation): string => endpointKey(method, path);

/** With an id that nobody has in place of each parameter. */
const call = (client: Client, { method, path }: Operation) =>
  client[method](path.replace(/\{\w+\}/g, '2147483647')).send(method === 'get' ? undefined : {});

let members = 0;

/** A member of ada's organization who has exactly these permissions. */
async function memberWith(permissions: readonly string[], policies: readonly string[] = []): Promise<Client> {
  const name = `member-${(members += 1)}`;
  const { organizationId } = api.ada;
  const role = { organization_id: organizationId, name, description: '', permissions, policies };
  const roleId = await insert(api.database, 'role', role);
  return await member(name, roleId);
}

async function member(name: string, roleId: number | null): Promise<Client> {
  const { organizationId } = api.ada;
  const userId = await insert(api.database, 'user_account', { email: `${name}@example.org`, username: name, name });
  await insert(api.database, 'membership', { organization_id: organizationId, user_id: userId, role: 'member', role_id: roleId });
  const key = newSecret('key');
  await insertApiKey(api.database, { organizationId, userId }, key, name);
  return api.as(key);
}

const GUARD = /^This needs the permission |has no row in the table/;

/** Which of all operations the guard refuses. */
async function refused(client: Client): Promise<string[]> {
  const names: string[] = [];
  for (const operation of operations) {
    const { status, body } = await call(client, operation);
    expect({ operation: nameOf(operation), status }).not.toEqual({ operation: nameOf(operation), status: 500 });
    // Elsewhere 403 says that something about the request is not allowed, which is for the feature's own tests.
    if (status !== 403 || !GUARD.test(body.message)) continue;
    expect(body).toMatchObject({ status: false, error_reason: 'forbidden' });
    names.push(nameOf(operation));
  }
  return names.sort();
}

const requiring = (test: (requirement: Permission) => boolean): string[] =>
  operations
    .filter(({ method, path }) => {
      const requirement = requirementOf(method, path)!;
      return requirement !== 'self' && test(requirement);
    })
    .map(nameOf)
    .sort();

describe('the table of endpoints', () => {
  it('has a row for every endpoint of the OpenAPI document', () => {
    expect(operations.length).toBeGreaterThan(50);
    expect(operations.filter(({ method, path }) => requirementOf(method, path) === undefined).map(nameOf)).toEqual([]);
  });

  it('has no row for an endpoint that there is not, and none twice', () => {
    const known = new Set(operations.map(nameOf));
    const rows = ENDPOINTS.map(([method, path]) => `${method} ${path}`);
    expect(rows.filter((row) => !known.has(row))).toEqual([]);
    expect(rows).toHaveLength(new Set(rows).size);
  });

  it('asks for every permission somewhere', () => {
    const asked = new Set(ENDPOINTS.map(([, , requirement]) => requirement));
    expect(ALL_PERMISSIONS.filter((permission) => !asked.has(permission))).toEqual([]);
  });
});

describe('the guard', () => {
  it('lets nobody in without a key', async () => {
    for (const operation of operations) {
      const { status } = await call(api.anonymous, operation);
      expect({ operation: nameOf(operation), status }).toEqual({ operation: nameOf(operation), status: 401 });
    }
  });

  it('keeps nothing from an owner', async () => {
    expect(await refused(api.eve.api)).toEqual([]);
  }, 20_000);

  it('lets a member without a role look and nothing else', async () => {
    expect(await refused(await member('nobody', null))).toEqual(requiring((permission) => !READING.includes(permission)));
  }, 20_000);

  it('keeps everything from a member whose role has nothing, but what is about himself', async () => {
    expect(await refused(await memberWith([]))).toEqual(requiring(() => true));
  }, 20_000);

  it.each(POLICIES)('lets the policy $name do what it says and nothing else', async ({ name, permissions }) => {
    expect(await refused(await memberWith([], [name]))).toEqual(requiring((permission) => !permissions.includes(permission)));
  }, 20_000);

  it('knows nothing of what a role has from another release', async () => {
    expect(await refused(await memberWith(['everything', 'constructor'], ['Root']))).toEqual(requiring(() => true));
  }, 20_000);

  it('tells everybody with a key, and nobody else, what Baton does not offer', async () => {
    const nobody = await memberWith([]);
    for (const path of ['/v1/billing/billing/threshold', '/v1/core/clusters/1/nodes'])
      for (const [client, status] of [[nobody, 501], [api.anonymous, 401]] as const) await client.get(path).expect(status);
  });

  it('tells which permission is missing', async () => {
    const { body } = await (await memberWith([])).delete('/v1/core/environments/1').expect(403);
    expect(body.message).toMatch(/^This needs the permission environment:delete, which your role/);
  });
});

describe('what belongs to another organization', () => {
  it('is missing, in the same words, whatever the endpoint and whatever the caller may do', async () => {
    const owned = await insert(api.database, 'environment', {
      organization_id: api.ada.organizationId,
      region_id: api.regionId,
      name: 'ours',
      subnet: '10.250.0.0/20',
    });
    for (const method of ['get', 'put', 'delete'] as const) {
      const foreign = await api.eve.api[method](`/v1/core/environments/${owned}`).send(method === 'put' ? { name: 'mine' } : undefined);
      const missing = await api.eve.api[method]('/v1/core/environments/2147483647').send(
        method === 'put' ? { name: 'mine' } : undefined,
      );
      expect(foreign.status).toBe(404);
      expect(foreign.body).toEqual(missing.body);
    }
    await api.ada.api.get(`/v1/core/environments/${owned}`).expect(200);
  });
});
