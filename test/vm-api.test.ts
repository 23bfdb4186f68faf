/** `/v1/core/virtual-machines` as its users meet it: creating, finding, following and deleting VMs. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startCloud, type Cloud } from './support/cloud.js';
import { eventually } from './support/eventually.js';
import { mismatches } from './support/infrahub-model.js';
import { VmClient } from './support/vm-client.js';

let cloud: Cloud;
let vms: VmClient;

beforeAll(async () => {
  cloud = await startCloud({ bootMs: 10, floatingIps: ['198.51.100.10', '198.51.100.11'] });
  vms = new VmClient(cloud);
}, 60_000);

afterAll(async () => {
  await cloud.stop();
});

/** Nullable as Infrahub's own answers have them: of what a VM does not have. */
const ABSENT = ['callback_url', 'contract_id', 'floating_ip'];

describe('creating', () => {
  it('answers at once with a VM that is CREATING, and brings it to ACTIVE', async () => {
    const { status, body } = await vms.post({ name: 'first' });
    expect(status).toBe(200);
    expect(body).toMatchObject({ status: true, instances: [{ name: 'first', status: 'CREATING', power_state: null, fixed_ip: null }] });
    const active = await vms.reaches(body.instances[0].id, 'ACTIVE');
    expect(active).toMatchObject({ power_state: 'RUNNING', vm_state: 'active', fault: null });
    expect(active.fixed_ip).toMatch(/^10\.128\.\d+\.\d+$/);
  });

  it('shows an ACTIVE VM with every field of Infrahub, in its type', async () => {
    const vm = await vms.active({ name: 'shape', labels: ['b', 'a'] });
    expect(mismatches('InstanceFields', vm, ABSENT)).toEqual([]);
    expect(vm).toMatchObject({
      environment: { name: 'demo', region: 'default-1' },
      image: { name: 'tiny' },
      os: 'tiny',
      flavor: { name: 'tiny-1', cpu: 1, ram: 0.25, disk: 1, gpu: '', gpu_count: 0 },
      keypair: { name: 'demo' },
      labels: ['a', 'b'],
      floating_ip_status: 'NO FLOATING IP',
      security_rules: [{ direction: 'egress', ethertype: 'IPv4' }, { direction: 'egress', ethertype: 'IPv6' }],
      volume_attachments: [],
      locked: false,
    });
  });

  it('shows a VM that is CREATING in the same types, but for what it does not have yet', async () => {
    const { body } = await vms.post({});
    expect(mismatches('InstanceFields', body.instances[0], [...ABSENT, 'power_state', 'vm_state', 'fixed_ip'])).toEqual([]);
  });

  it('names several VMs after the one name', async () => {
    const { body } = await vms.post({ name: 'several', count: 3 });
    expect(body.instances.map((vm: { name: string }) => vm.name)).toEqual(['several-1', 'several-2', 'several-3']);
    for (const { id } of body.instances) await vms.reaches(id, 'ACTIVE');
  });

  it('assigns a memorable name where none is given', async () => {
    const { body } = await vms.post({});
    expect(body.instances[0].name).toMatch(/^[a-z]+-[a-z]+-[a-z]+$/);
  });

  it('binds several keypairs, in the order in which they are named', async () => {
    await cloud.database.query(
      `INSERT INTO keypair (environment_id, name, public_key, fingerprint)
       SELECT environment_id, 'second', public_key, fingerprint FROM keypair WHERE name = 'demo'`,
    );
    const { body } = await vms.post({ key_name: 'demo', key_names: ['second', 'demo'] });
    expect(body.instances[0]).toMatchObject({ keypair: { name: 'second' }, key_names: ['second', 'demo'] });
  });

  it.each([
    ['ASCII', 'x'.repeat(65_536)],
    ['characters of three bytes', '€'.repeat(21_845) + 'x'],
  ])('takes user data of exactly 64 KiB in %s and not a byte more', async (_, userData) => {
    expect((await vms.post({ user_data: userData })).status).toBe(200);
    const { status, body } = await vms.post({ user_data: `${userData}x` });
    expect(status).toBe(400);
    expect(body.message).toContain('user_data must not be larger than 65536 bytes');
  });

  it('keeps user data as it was sent', async () => {
    const userData = '#cloud-config\r\n# ]]></domain> $(id) \u202e\t€\n';
    const { body } = await vms.post({ user_data: userData });
    const [row] = await cloud.database.query('SELECT user_data FROM virtual_machine WHERE id = $1', [body.instances[0].id]);
    expect(row.user_data).toBe(userData);
  });
});

describe('floating IPs', () => {
  it('are there before the VM is ACTIVE, run out with 409, and are handed out again after a delete', async () => {
    const first = await vms.post({ assign_floating_ip: true });
    const address: string = first.body.instances[0].floating_ip;
    expect(address).toMatch(/^198\.51\.100\.1[01]$/);
    expect(first.body.instances[0].floating_ip_status).toBe('ATTACHING');
    const active = await vms.reaches(first.body.instances[0].id, 'ACTIVE');
    expect(active).toMatchObject({ floating_ip: address, floating_ip_status: 'ATTACHED', requires_public_ip: true });

    const tooMany = await vms.post({ name: 'two-addresses', count: 2, assign_floating_ip: true });
    expect(tooMany.status).toBe(409);
    expect(tooMany.body.message).toContain('1 of 2 floating IPs free');
    expect((await vms.get('/demo/two-addresses-1')).status).toBe(404);

    await vms.delete(`/${active.id}`);
    await vms.gone(active.id);
    const both = await vms.post({ count: 2, assign_floating_ip: true });
    expect(both.status).toBe(200);
    for (const { id } of both.body.instances) {
      await vms.reaches(id, 'ACTIVE');
      await vms.delete(`/${id}`);
      await vms.gone(id);
    }
  });
});

describe('finding', () => {
  let ids: Record<string, number>;

  beforeAll(async () => {
    await cloud.request('POST', '/v1/core/environments', { name: 'demo-staging', region: 'default-1' });
    await cloud.database.query(
      `INSERT INTO keypair (environment_id, name, public_key, fingerprint)
       SELECT e.id, k.name, k.public_key, k.fingerprint FROM keypair k, environment e
        WHERE k.name = 'demo' AND e.name = 'demo-staging'`,
    );
    const find = async (body: object): Promise<number> => (await vms.active(body)).id;
    ids = {
      percent: await find({ name: 'find-a_b', labels: ['web', 'eu'] }),
      plain: await find({ name: 'find-axb', labels: ['web'] }),
      staging: await find({ name: 'find-web', environment_name: 'demo-staging', labels: ['db'] }),
    };
  });

  const listed = async (query: string): Promise<number[]> => {
    const { status, body } = await vms.get(`?${query}`);
    expect(status).toBe(200);
    expect(body.count).toBe(body.instances.length);
    return body.instances.map((vm: { id: number }) => vm.id);
  };

  it('lists everything, oldest first, when no page is asked for', async () => {
    const { body } = await vms.get('');
    const all = body.instances.map((vm: { id: number }) => vm.id);
    expect(body).toMatchObject({ status: true, page: null, page_size: null, count: all.length });
    expect(all.length).toBeGreaterThan(10);
    expect(all).toEqual(all.toSorted((a: number, b: number) => a - b));
  });

  it.each(['page=2&pageSize=2', 'page=2&page_size=2'])('lists the page of %s with the count of all', async (query) => {
    const all = (await vms.get('?search=find-')).body.instances;
    const { body } = await vms.get(`?search=find-&${query}`);
    expect(body).toMatchObject({ page: 2, page_size: 2, count: 3 });
    expect(body.instances.map((vm: { id: number }) => vm.id)).toEqual([all[2].id]);
  });

  it('answers a page beyond the last with no rows and the count of all', async () => {
    expect((await vms.get('?search=find-&page=9&pageSize=5')).body).toMatchObject({ count: 3, instances: [] });
  });

  it('searches a part of the name in any case', async () => {
    // No memorable name of another VM has that in it.
    expect(await listed('search=ND-AXB')).toEqual([ids['plain']]);
  });

  it('takes _ and % in a search for themselves', async () => {
    expect(await listed('search=a_b')).toEqual([ids['percent']]);
    expect(await listed('search=%25')).toEqual([]);
    expect(await listed('search=%5C')).toEqual([]);
  });

  it('filters by a part of the environment, its whole name, and its id', async () => {
    const { body } = await vms.get('/demo-staging/find-web');
    expect(await listed('search=find-&environment=demo')).toHaveLength(3);
    expect(await listed('search=find-&environment=demo&exact_environment_match=true')).toEqual([ids['percent'], ids['plain']]);
    expect(await listed(`search=find-&environment=${body.instance.environment.id}`)).toEqual([ids['staging']]);
  });

  it('filters by one label, and by several at once', async () => {
    expect(await listed('label=web')).toEqual([ids['percent'], ids['plain']]);
    expect(await listed('label=web&label=eu')).toEqual([ids['percent']]);
  });

  it('gets one VM by id and by environment and name, with or without a trailing slash', async () => {
    for (const path of [`/${ids['plain']}`, `/${ids['plain']}/`, '/demo/find-axb', '/demo/find-axb/'])
      expect((await vms.get(path)).body.instance.id).toBe(ids['plain']);
    expect((await cloud.request('GET', '/v1/core/virtual-machines/')).body.status).toBe(true);
  });

  it('lists by label in one environment, and does not take a name for a label or a label for a name', async () => {
    const byLabel = (await vms.get('/demo/labels/web')).body;
    expect(byLabel.instances.map((vm: { id: number }) => vm.id)).toEqual([ids['percent'], ids['plain']]);
    expect((await vms.get('/demo/labels/find-axb')).body).toMatchObject({ status: true, instances: [], count: 0 });
    expect((await vms.get('/demo/web')).status).toBe(404);
    expect((await vms.get('/nowhere/labels/web')).status).toBe(404);
  });

  it('tells whether a name is free, for one VM and for several', async () => {
    const free = async (path: string) => (await vms.get(`/name-availability/${path}`)).body;
    expect(await free('find-axb')).toMatchObject({ name: 'find-axb', available: false });
    expect(await free('nobody-has-this')).toMatchObject({ available: true });
    await vms.post({ name: 'series-3' });
    expect(await free('series?count=2')).toMatchObject({ available: true });
    expect(await free('series?count=3')).toMatchObject({ available: false });
    expect(await free('-series')).toMatchObject({ available: false });
  });
});

describe('deleting', () => {
  it('shows DELETING, then 404 as JSON, and frees the name', async () => {
    const { id } = await vms.active({ name: 'short-lived' });
    const { status, body } = await vms.delete(`/${id}`);
    expect([status, body.status]).toEqual([200, true]);
    await vms.gone(id);
    const missing = await vms.get(`/${id}`);
    expect(missing).toMatchObject({ status: 404, body: { status: false, error_reason: 'not_found' } });
    expect(missing.headers['content-type']).toContain('json');
    expect((await vms.delete(`/${id}`)).status).toBe(404);
    expect((await vms.post({ name: 'short-lived' })).status).toBe(200);
  });

  it('deletes by environment and name', async () => {
    const { id } = await vms.active({ name: 'by-name' });
    expect((await vms.delete('/demo/by-name')).status).toBe(200);
    await vms.gone(id);
  });

  it('deletes by label only those that carry it', async () => {
    const condemned = await vms.active({ name: 'condemned', labels: ['old'] });
    const spared = await vms.active({ name: 'old', labels: ['new'] });
    const { body } = await vms.delete('/demo/labels/old');
    expect(body.instances).toEqual([{ id: condemned.id, name: 'condemned', accepted: true, message: '' }]);
    await vms.gone(condemned.id);
    expect((await vms.get(`/${spared.id}`)).body.instance.status).toBe('ACTIVE');
    expect((await vms.delete('/demo/labels/old')).body).toMatchObject({ status: true, instances: [] });
  });

  it('is refused with 400 while the VM is being made', async () => {
    cloud.nodes[0]!.hypervisor.misbehaviours = { start: { kind: 'slow', ms: 300 } };
    try {
      const { body } = await vms.post({ name: 'half-made' });
      const refused = await vms.delete('/demo/half-made');
      expect(refused.status).toBe(400);
      expect(refused.body.message).toMatch(/half-made is (CREATING|BUILD); delete is possible when it is ACTIVE/);
      await vms.reaches(body.instances[0].id, 'ACTIVE');
    } finally {
      cloud.nodes[0]!.hypervisor.misbehaviours = {};
    }
  });

  it('may be asked for twice', async () => {
    cloud.nodes[0]!.hypervisor.misbehaviours = { remove: { kind: 'slow', ms: 200 } };
    try {
      const { id } = await vms.active({ name: 'twice-deleted' });
      expect((await vms.delete(`/${id}`)).status).toBe(200);
      expect((await vms.get(`/${id}`)).body.instance.status).toBe('DELETING');
      expect((await vms.delete(`/${id}`)).status).toBe(200);
      await vms.gone(id);
    } finally {
      cloud.nodes[0]!.hypervisor.misbehaviours = {};
    }
  });
});

describe('events', () => {
  it('tell the whole life of a VM, and can be read after its end', async () => {
    const vm = await vms.active({ name: 'eventful' });
    await vms.delete(`/${vm.id}`);
    await vms.gone(vm.id);
    const { body } = await vms.get(`/${vm.id}/events`);
    const reasons = body.instance_events.map((event: { reason: string }) => event.reason);
    expect(reasons).toEqual([
      'InstanceCreationRequest',
      'InstanceBuildStarted',
      'InstanceCreationSuccess',
      'InstanceDeleteRequest',
      'InstanceDeleteSuccess',
    ]);
    for (const event of body.instance_events) {
      expect(mismatches('InstanceEventsFields', event, ['user_id'])).toEqual([]);
      expect(event).toMatchObject({ instance_id: vm.id, object: 'eventful', type: 'normal' });
    }
  });
});

describe('capacity', () => {
  it('is all given back when the VMs are gone', async () => {
    const { body } = await vms.get('');
    for (const { id } of body.instances) await vms.reaches(id, 'ACTIVE');
    for (const { id } of body.instances) await vms.delete(`/${id}`);
    for (const { id } of body.instances) await vms.gone(id);
    await eventually(async () => {
      const [used] = await cloud.database.query('SELECT vcpus_used, memory_mib_used, disk_gib_used FROM compute_node');
      expect(used).toEqual({ vcpus_used: 0, memory_mib_used: 0, disk_gib_used: 0 });
    });
    const [{ taken }] = await cloud.database.query(
      'SELECT count(virtual_machine_id)::int AS taken FROM floating_ip',
    );
    expect(taken).toBe(0);
    expect(await cloud.nodes[0]!.hypervisor.inventory()).toEqual([]);
  });
});

describe('the newest Python SDK', () => {
  it('creates a VM although it always sends enhanced_monitoring_enabled', async () => {
    const { status, body } = await vms.post({ name: 'from-sdk', enhanced_monitoring_enabled: false });
    expect({ status, message: body.message }).toEqual({ status: 200, message: 'Creating VM' });
  });
});
