/** Firewalls: sets of rules that hold for many VMs, and change for all of them at once. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { fsck } from '../src/conductor/admin/fsck.js';
import { startCloud, type Answer, type Cloud, type Json } from './support/cloud.js';
import { eventually } from './support/eventually.js';
import { mismatches } from './support/infrahub-model.js';
import { VmClient } from './support/vm-client.js';

const HTTP = { direction: 'ingress', ethertype: 'IPv4', protocol: 'tcp', remote_ip_prefix: '0.0.0.0/0', port_range_min: 80, port_range_max: 80 };
const PAGES = ['page', 'page_size'];
/** Rules of all ports. */
const OPEN = ['port_range_min', 'port_range_max'];

let cloud: Cloud;
let vms: VmClient;
let environmentId: number;
let elsewhereId: number;

beforeAll(async () => {
  cloud = await startCloud({ nodes: 2 });
  vms = new VmClient(cloud);
  const { body } = await cloud.request('GET', '/v1/core/environments');
  environmentId = body.environments[0].id;
  const elsewhere = await cloud.request('POST', '/v1/core/environments', { name: 'elsewhere', region: 'default-1' });
  elsewhereId = elsewhere.body.environment.id;
});

afterAll(async () => {
  expect(await fsck(cloud.database)).toEqual([]);
  await cloud.stop();
});

const call = (method: string, path = '', body?: unknown, key = cloud.demo.key): Promise<Answer> =>
  cloud.request(method, `/v1/core/firewalls${path}`, body, { api_key: key });

async function made(name: string, environment = environmentId): Promise<number> {
  const { status, body } = await call('POST', '', { name, environment_id: environment, description: 'For tests' });
  expect({ status, message: body.message }).toEqual({ status: 200, message: 'Firewall created successfully' });
  return body.firewall.id;
}

const shown = async (id: number): Promise<Json> => (await call('GET', `/${id}`)).body.firewall;

/** The ports that the nodes of VMs let in, VM by VM. */
async function openPorts(ids: readonly number[]): Promise<unknown[]> {
  const identities = await cloud.database.query(
    `SELECT vm.uuid AS "vmUuid", i.id AS "incarnationId" FROM virtual_machine vm
       JOIN incarnation i ON i.virtual_machine_id = vm.id AND i.ended_at IS NULL WHERE vm.id = ANY($1) ORDER BY vm.id`,
    [ids],
  );
  return identities.map((identity: Parameters<(typeof cloud.nodes)[0]['hypervisor']['domain']>[0]) => {
    const domain = cloud.nodes.map(({ hypervisor }) => hypervisor.domain(identity)).find(Boolean);
    return domain!.hardware!.rules!.filter((rule) => rule.direction === 'ingress').map((rule) => rule.portMin);
  });
}

describe('a firewall', () => {
  it('is created in an environment, with the rules that every VM has', async () => {
    const { body } = await call('POST', '', { name: 'web', environment_id: environmentId });
    expect(mismatches('FirewallResponse', body)).toEqual([]);
    expect(body.firewall).toMatchObject({ name: 'web', description: '', status: 'CREATING', environment: { name: 'demo', region: 'default-1' } });
    const detail = await call('GET', `/${body.firewall.id}`);
    expect(mismatches('FirewallDetailResponse', detail.body)).toEqual([]);
    expect(detail.body.firewall).toMatchObject({ status: 'SUCCESS', attachments: [] });
    expect(detail.body.firewall.rules).toMatchObject([{ direction: 'egress', ethertype: 'IPv4' }, { direction: 'egress', ethertype: 'IPv6' }]);
    expect((await call('POST', '', { name: 'web', environment_id: environmentId })).status).toBe(409);
  });

  it('is listed by name and environment, by pages or whole', async () => {
    for (const name of ['list-a', 'list-b', 'LIST-c']) await made(name, name === 'LIST-c' ? elsewhereId : environmentId);
    const whole = (await call('GET', '?search=list-')).body;
    expect(mismatches('FirewallsListResponse', whole, [...PAGES, ...OPEN])).toEqual([]);
    expect(whole).toMatchObject({ count: 3, firewalls: [{ name: 'list-a' }, { name: 'list-b' }, { name: 'LIST-c' }] });
    expect((await call('GET', '?search=list-&page=2&pageSize=1')).body).toMatchObject({ count: 3, page: 2, firewalls: [{ name: 'list-b' }] });
    for (const environment of ['elsewhere', elsewhereId])
      expect((await call('GET', `?environment=${environment}`)).body).toMatchObject({ count: 1, firewalls: [{ name: 'LIST-c' }] });
  });

  it('holds for three VMs, and changes for all of them while they run', async () => {
    const machines = await Promise.all(['one', 'two', 'three'].map((name) => vms.active({ name })));
    const ids: number[] = machines.map(({ id }) => id).sort((a, b) => a - b);
    const id = await made('shared');
    const attached = await call('POST', `/${id}/update-attachments`, { vms: ids });
    expect({ status: attached.status, mismatches: mismatches('ResponseModel', attached.body) }).toEqual({ status: 200, mismatches: [] });

    const { body } = await call('POST', `/${id}/firewall-rules`, HTTP);
    expect(mismatches('FirewallRule', body)).toEqual([]);
    expect(body.firewall_rule).toMatchObject({ ...HTTP, status: 'pending' });
    const firewall = await eventually(async () => {
      const now = await shown(id);
      expect(now.rules.at(-1).status).toBe('SUCCESS');
      return now;
    });
    expect(mismatches('FirewallDetailFields', firewall)).toEqual([]);
    expect(firewall.attachments.map(({ status, vm }: Json) => [status, vm.name, vm.status, vm.environment]).sort()).toEqual(
      ['one', 'three', 'two'].map((name) => ['SUCCESS', name, 'ACTIVE', 'demo']),
    );
    expect(await openPorts(ids)).toEqual([[80], [80], [80]]);

    expect((await call('POST', `/${id}/firewall-rules`, HTTP)).status).toBe(409);
    const removed = await call('DELETE', `/${id}/firewall-rules/${body.firewall_rule.id}`);
    expect({ status: removed.status, mismatches: mismatches('ResponseModel', removed.body) }).toEqual({ status: 200, mismatches: [] });
    await eventually(async () => expect(await openPorts(ids)).toEqual([[], [], []]));
    for (const vm of ids) expect((await vms.get(`/${vm}`)).body.instance).toMatchObject({ status: 'ACTIVE' });
    expect((await call('DELETE', `/${id}/firewall-rules/${body.firewall_rule.id}`)).status).toBe(404);
  });

  it('is set from the side of the VM, as a whole, beside the rules of its own', async () => {
    const { id } = await vms.active({ name: 'both', security_rules: [{ ...HTTP, port_range_min: 22, port_range_max: 22 }] });
    const [web, mail] = [await made('set-web'), await made('set-mail')];
    await call('POST', `/${web}/firewall-rules`, HTTP);
    await call('POST', `/${mail}/firewall-rules`, { ...HTTP, port_range_min: 25, port_range_max: 25 });
    const set = (firewalls: number[]) => vms.send('POST', `/${id}/attach-firewalls`, { firewalls });
    for (const [firewalls, ports] of [
      [[web, mail], [22, 25, 80]],
      [[mail], [22, 25]],
      [[], [22]],
    ] as const) {
      expect((await set([...firewalls])).status).toBe(200);
      await eventually(async () => expect(((await openPorts([id]))[0] as number[]).sort()).toEqual(ports));
    }
    expect((await vms.get(`/${id}`)).body.instance.security_rules).toHaveLength(3);
  });

  it('costs a VM nothing that has it already', async () => {
    const { id } = await vms.active({ name: 'calm' });
    const firewall = await made('calm');
    const generation = async () => (await cloud.database.query('SELECT generation FROM virtual_machine WHERE id = $1', [id]))[0].generation;
    for (const expected of [2, 2]) {
      expect((await call('POST', `/${firewall}/update-attachments`, { vms: [id] })).status).toBe(200);
      expect(await generation()).toBe(expected);
    }
  });

  it('keeps its VMs out of the list that excludes it', async () => {
    const inside = await vms.active({ name: 'inside' });
    const firewall = await made('exclusive');
    const other = await made('exclusive-2');
    await vms.send('POST', `/${inside.id}/attach-firewalls`, { firewalls: [firewall] });
    const listed = async (query: string) => (await vms.get(`?search=inside&${query}`)).body.count;
    expect(await listed(`exclude_firewalls=${firewall}`)).toBe(0);
    expect(await listed(`exclude_firewalls=${other},${firewall}`)).toBe(0);
    expect(await listed(`exclude_firewalls=${other}&exclude_firewalls=${firewall}`)).toBe(0);
    expect(await listed(`exclude_firewalls=${other}`)).toBe(1);
    expect((await vms.get('?exclude_firewalls=x')).status).toBe(400);
  });

  it('is deleted once nothing has it, also when the VM that had it is gone', async () => {
    const { id } = await vms.active({ name: 'last' });
    const firewall = await made('held');
    await call('POST', `/${firewall}/update-attachments`, { vms: [id] });
    const held = await call('DELETE', `/${firewall}`);
    expect({ status: held.status, message: held.body.message }).toEqual({ status: 400, message: expect.stringMatching(/among them last. Detach it/) });
    await vms.delete(`/${id}`);
    await vms.gone(id);
    expect((await shown(firewall)).attachments).toEqual([]);
    const { status, body } = await call('DELETE', `/${firewall}`);
    expect({ status, mismatches: mismatches('ResponseModel', body) }).toEqual({ status: 200, mismatches: [] });
    expect((await call('GET', `/${firewall}`)).status).toBe(404);
  });

  it('keeps its environment from being deleted', async () => {
    await made('keeper', elsewhereId);
    const { status, body } = await cloud.request('DELETE', `/v1/core/environments/${elsewhereId}`);
    expect({ status, message: body.message }).toEqual({ status: 405, message: expect.stringMatching(/firewalls: \d/) });
  });

  it('holds only for VMs of its own environment', async () => {
    const { id } = await vms.active({ name: 'resident' });
    const firewall = await made('foreign', elsewhereId);
    for (const answer of [
      await vms.send('POST', `/${id}/attach-firewalls`, { firewalls: [firewall] }),
      await call('POST', `/${firewall}/update-attachments`, { vms: [id] }),
    ])
      expect(answer.body).toMatchObject({ error_reason: 'bad_request', message: expect.stringMatching(/different environments/) });
  });

  it('is nobody else’s', async () => {
    const firewall = await made('secret');
    const { id } = await vms.active({ name: 'target' });
    const { key } = cloud.other;
    const missing = (await call('GET', '/999999', undefined, key)).body;
    expect(missing).toMatchObject({ status: false, error_reason: 'not_found' });
    for (const answer of [
      await call('GET', `/${firewall}`, undefined, key),
      await call('DELETE', `/${firewall}`, undefined, key),
      await call('POST', `/${firewall}/firewall-rules`, HTTP, key),
      await call('POST', `/${firewall}/update-attachments`, { vms: [] }, key),
    ])
      expect(answer.body).toEqual(missing);
    expect((await call('POST', '', { name: 'mine', environment_id: environmentId }, key)).status).toBe(404);
    expect((await call('POST', `/${firewall}/update-attachments`, { vms: [id, 999_999] })).status).toBe(404);
    expect((await vms.send('POST', `/${id}/attach-firewalls`, { firewalls: [999_999] })).status).toBe(404);
    expect((await call('GET', '', undefined, key)).body.count).toBe(0);
    expect((await call('GET', '', undefined, 'baton_key_wrong')).status).toBe(401);
  });

  it.each([
    ['without a name', { name: undefined }],
    ['without an environment', { environment_id: undefined }],
    ['with an environment by name', { environment_id: 'demo' }],
    ['with a long name', { name: 'x'.repeat(51) }],
    ['with a field too many', { colour: 'red' }],
  ])('is refused %s', async (_, change) => {
    expect((await call('POST', '', { name: 'refused', environment_id: environmentId, ...change })).status).toBe(400);
  });
});
