/** What `/v1/core/virtual-machines` turns away: in the error envelope, with the right status, and without an effect. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { startCloud, type Answer, type Cloud } from './support/cloud.js';
import { VmClient } from './support/vm-client.js';

let cloud: Cloud;
let vms: VmClient;
let others: VmClient;
/** A VM of the other organization. */
let foreign: { readonly id: number; readonly name: string };

beforeAll(async () => {
  cloud = await startCloud();
  vms = new VmClient(cloud);
  others = new VmClient(cloud, cloud.other);
  foreign = await others.active({ name: 'foreign', labels: ['secret'] });
}, 60_000);

afterAll(async () => {
  await cloud.stop();
});

function expectRefusal(answer: Answer, status: number): void {
  expect({ status: answer.status, text: answer.text.slice(0, 300) }).toMatchObject({ status });
  expect(answer.headers['content-type']).toMatch(/^application\/json/);
  expect(answer.body).toEqual({ status: false, message: expect.any(String), error_reason: expect.any(String) });
  expect(answer.body.message.length).toBeGreaterThan(10);
  expect(answer.text).not.toMatch(/node_modules|at \w+ \(|QueryFailed|SELECT|INSERT|syntax error/);
}

const created = async (): Promise<number> => {
  const [{ count }] = await cloud.database.query('SELECT count(*)::int AS count FROM virtual_machine');
  return count;
};

let before: number;
beforeEach(async () => {
  before = await created();
});
afterEach(async () => expect(await created()).toBe(before));

describe('a creation with a field that is none of the user’s', () => {
  it.each([
    'id', 'uuid', 'organization_id', 'organizationId', 'user_id', 'node', 'node_id', 'compute_node_id', 'computeNodeId',
    'incarnation', 'incarnation_id', 'status', 'state', 'observed', 'desired_power', 'generation', 'spec', 'hints',
    'scheduler_hints', 'placement', 'fixed_ip', 'floating_ip', 'fault', 'created_at', 'deleted_at', 'region', '__proto__',
  ])('is refused: %s', async (field) => {
    // Written by hand: an object literal would take __proto__ for itself.
    const body = JSON.stringify(vms.request()).replace(/}$/, `,${JSON.stringify(field)}:{"a":1}}`);
    expectRefusal(await vms.send('POST', '', body), 400);
  });

  it('is refused where it reaches for a prototype', async () => {
    expectRefusal(await vms.post({ constructor: { prototype: { admin: true } } }), 400);
  });
});

describe('a creation with a list where one thing belongs', () => {
  it.each(['flavor', 'profile'])('is refused: %s', async (field) => {
    for (const list of [[], [{}], [[]]]) expectRefusal(await vms.post({ flavor_name: undefined, [field]: list }), 400);
  });

  it('is refused within a list: security_rules', async () => {
    expectRefusal(await vms.post({ security_rules: [[]] }), 400);
  });
});

describe('a creation with a value out of bounds', () => {
  const long = (length: number): string => 'x'.repeat(length);
  it.each<[string, object]>([
    ['21 VMs', { count: 21 }],
    ['no VM', { count: 0 }],
    ['minus one VM', { count: -1 }],
    ['one and a half VMs', { count: 1.5 }],
    ['a count as text', { count: '2' }],
    ['a count beyond all numbers', { count: 1e308 }],
    ['an empty name', { name: '' }],
    ['a name of 51 characters', { name: long(51) }],
    ['a name that gets too long by its number', { name: long(49), count: 2 }],
    ['a name that climbs', { name: '../../etc' }],
    ['an escaped name', { name: '%2e%2e%2f' }],
    ['a name of two lines', { name: 'a\nb' }],
    ['a name with a trailing line break', { name: 'a\n' }],
    ['a name with NUL', { name: 'a\u0000b' }],
    ['a name that turns the reading direction', { name: 'a\u202eb' }],
    ['a name with half a character', { name: 'a\ud800' }],
    ['a name with a slash', { name: 'a/b' }],
    ['the reserved name', { name: 'labels' }],
    ['a number for a name', { name: 5 }],
    ['a list for a name', { name: ['a'] }],
    ['an environment with NUL', { environment_name: 'demo\u0000' }],
    ['a flavor with NUL', { flavor_name: 'tiny-1\u0000' }],
    ['an image with NUL', { image_name: '\u0000' }],
    ['a keypair with NUL', { key_name: 'demo\u0000' }],
    ['one of several keypairs with NUL', { key_names: ['\u0000'] }],
    ['user data with NUL', { user_data: '#!/bin/sh\n\u0000' }],
    ['user data with half a character', { user_data: '\ud83d' }],
    ['a callback address with NUL', { callback_url: 'http://example.com/\u0000' }],
    ['a callback address with half a character', { callback_url: 'http://example.com/\ud800' }],
    ['a callback to the database', { callback_url: 'postgres://127.0.0.1/' }],
    ['a callback to the metadata of another cloud', { callback_url: 'http://169.254.169.254/latest' }],
    ['a callback address of 251 characters', { callback_url: `http://example.com/${long(232)}` }],
    ['no keypair', { key_name: undefined }],
    ['21 keypairs', { key_names: Array.from({ length: 21 }, (_, n) => `k${n}`) }],
    ['a label with a slash', { labels: ['a/b'] }],
    ['a label with NUL', { labels: ['a\u0000'] }],
    ['a label of 65 characters', { labels: [long(65)] }],
    ['an empty label', { labels: [''] }],
    ['the same label twice', { labels: ['a', 'a'] }],
    ['21 labels', { labels: Array.from({ length: 21 }, (_, n) => `l${n}`) }],
    ['labels as text', { labels: 'a b' }],
    ['null for the environment', { environment_name: null }],
    ['an object for the flavor', { flavor_name: { $ne: '' } }],
    ['a yes for a boolean', { assign_floating_ip: 'yes' }],
    ['half a security rule', { security_rules: [{ direction: 'ingress' }] }],
  ])('is refused: %s', async (_, change) => {
    expectRefusal(await vms.post(change), 400);
  });
});

describe('a creation that names what is not there', () => {
  it.each(['environment_name', 'flavor_name', 'image_name', 'key_name'])('is refused with 404: %s', async (field) => {
    const answer = await vms.post({ [field]: 'missing' });
    expectRefusal(answer, 404);
    expect(answer.body.message).toContain('"missing"');
  });

  it('does not tell another organization’s environment or keypair from a missing one', async () => {
    for (const field of ['environment_name', 'key_name']) {
      const [taken, missing] = [await vms.post({ [field]: 'other' }), await vms.post({ [field]: 'never-was' })];
      expectRefusal(taken, 404);
      expect(taken.body.message).toBe(missing.body.message.replace('never-was', 'other'));
    }
  });
});

describe('a body that is no request', () => {
  it.each<[string, number, string, Record<string, string>]>([
    ['nothing', 400, '', {}],
    ['half a JSON', 400, '{"name":', {}],
    ['a JSON text', 400, '"name"', {}],
    ['a JSON list', 400, '[]', {}],
    ['a list of requests', 400, '[{"name":"a"},{"name":"b"}]', {}],
    ['null', 400, 'null', {}],
    ['a number', 400, '1', {}],
    ['half a form', 400, 'name=a', { 'content-type': 'application/x-www-form-urlencoded' }],
    ['a form with parts', 415, 'x', { 'content-type': 'multipart/form-data; boundary=x' }],
    ['XML', 415, '<a/>', { 'content-type': 'text/xml' }],
    ['plain text', 415, '{}', { 'content-type': 'text/plain' }],
    ['two megabytes', 413, `{"user_data":"${'x'.repeat(2_000_000)}"}`, {}],
    ['depths', 400, `${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}`, {}],
  ])('is refused: %s', async (_, status, body, headers) => {
    expectRefusal(await vms.send('POST', '', body, headers), status);
  });
});

describe('an id or name in the path', () => {
  it.each([
    '/0', '/-1', '/abc', '/99999999999', '/2147483648', '/1e3', '/0x1', '/1.5', '/999999', '/999999/events', '/1/console',
    '/demo/missing', '/missing/missing', '/demo/labels', '/demo/..%2f..%2fetc', '/demo/%2e%2e', '/demo/a%0ab', '/demo/%E2%80%AE', `/demo/${'x'.repeat(199)}`, `/demo/${'x'.repeat(3_000)}`, `/${'x'.repeat(201)}/a`, '/demo/a/b/c',
    "/demo/'%20OR%201=1",
  ])('that means nothing is 404 for reading and deleting: %s', async (path) => {
    expectRefusal(await vms.get(path), 404);
    expectRefusal(await vms.delete(path), 404);
  });

  it.each(['/demo/%zz', '/%', '/demo/%C3%28', '/demo/a%00b', '/a%00b/c', '/demo%00/labels/a', '/demo/labels/a%00b'])('that is no text is a client’s mistake: %s', async (path) => {
    expectRefusal(await vms.get(path), 400);
  });

  it('of another organization’s VM is 404 in the words for a missing one', async () => {
    const missing = await vms.get('/999999');
    for (const path of [`/${foreign.id}`, `/${foreign.id}/events`, '/other/foreign']) {
      const answer = await vms.get(path);
      expectRefusal(answer, 404);
      expect(answer.body).toEqual(missing.body);
    }
    for (const path of [`/${foreign.id}`, '/other/foreign']) expect((await vms.delete(path)).body).toEqual(missing.body);
    for (const send of [vms.get.bind(vms), vms.delete.bind(vms)]) {
      const [taken, never] = [await send('/other/labels/secret'), await send('/never/labels/secret')];
      expectRefusal(taken, 404);
      expect(taken.body.message).toBe(never.body.message.replace('never', 'other'));
    }
    expect((await others.get(`/${foreign.id}`)).body.instance.status).toBe('ACTIVE');
    expect((await vms.get('?search=foreign')).body.count).toBe(0);
    expect((await vms.get('?label=secret')).body.count).toBe(0);
    expect((await vms.get('/name-availability/foreign')).body.available).toBe(true);
  });
});

describe('a query parameter', () => {
  it.each([
    'page=0', 'page=-1', 'page=a', 'page=1.5', 'page=99999999999999999999', 'pageSize=0', 'pageSize=1001', 'pageSize=1e9', 'sort=name',
    'page=1&page=2', 'search=a&search=b', `search=${'x'.repeat(101)}`, 'search=%00', 'environment=%00', 'label=%00',
    'environment=a&environment=b', 'exact_environment_match=perhaps', 'organization_id=2',
  ])('that is out of bounds, twice or unknown is refused: %s', async (query) => {
    expectRefusal(await vms.get(`?${query}`), 400);
  });

  it.each(['dry_run=perhaps', 'dry_run=true&dry_run=true', 'dryrun=true', 'count=2'])(
    'of a creation that is not understood creates nothing: %s',
    async (query) => {
      expectRefusal(await vms.post({}, {}, `?${query}`), 400);
    },
  );
});

describe('a key', () => {
  const withHeaders = (headers: Record<string, string>) => cloud.request('GET', '/v1/core/virtual-machines', undefined, headers);

  it('is taken from every header that clients use', async () => {
    const { key } = cloud.demo;
    const headers: Record<string, string>[] = [{ api_key: key }, { 'api-key': key }, { authorization: `Bearer ${key}` }, { authorization: `Token ${key}` }];
    for (const header of headers) expect((await withHeaders(header)).status).toBe(200);
  });

  it.each<[string, Record<string, string>]>([
    ['missing', {}],
    ['empty', { api_key: '' }],
    ['unknown', { api_key: 'baton_key_of_nobody' }],
    ['under another scheme', { authorization: 'Basic YTpi' }],
    ['a join token', { authorization: 'Bearer join-token-of-the-test-fleet' }],
    ['enormous', { api_key: 'x'.repeat(10_000) }],
  ])('that is %s is refused', async (_, headers) => {
    const answer = await withHeaders(headers);
    expectRefusal(answer, 401);
    expect(answer.headers['www-authenticate']).toContain('Bearer');
  });

  it('is not looked for in the query', async () => {
    expectRefusal(await cloud.request('GET', `/v1/core/virtual-machines?api_key=${cloud.demo.key}`, undefined, {}), 401);
  });
});

describe('a method or path that is not offered', () => {
  it.each([
    ['PUT', '/v1/core/virtual-machines'],
    ['PATCH', '/v1/core/virtual-machines/1'],
    ['GET', '/v1/core/virtual-machines/demo/a/b/c'],
    ['GET', '/v1/nothing'],
    ['OPTIONS', '/v1/core/virtual-machines'],
  ])('is refused in the envelope: %s %s', async (method, path) => {
    const answer = await cloud.request(method, path);
    expect([404, 405]).toContain(answer.status);
    expectRefusal(answer, answer.status);
  });

  it('answers HEAD as GET, without a body', async () => {
    const { status, text } = await cloud.request('HEAD', '/v1/core/virtual-machines');
    expect({ status, text }).toEqual({ status: 200, text: '' });
  });
});

describe('a name that is taken', () => {
  it('is refused with 409, and for several VMs none is made', async () => {
    const answer = await others.post({ name: 'foreign' });
    expectRefusal(answer, 409);
    expect(answer.body).toMatchObject({ error_reason: 'already_exist' });
    expect(answer.body.message).toContain('foreign exists in environment other');
  });
});
