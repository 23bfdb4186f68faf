/** Prices and usage of a running cloud: what is held counts, at the price of its time, and nobody else sees it. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { fsck } from '../src/conductor/admin/fsck.js';
import { setPrice } from '../src/conductor/billing/price-book.js';
import { startCloud, type Answer, type Cloud, type Json } from './support/cloud.js';
import { eventually } from './support/eventually.js';
import { VmClient } from './support/vm-client.js';

let cloud: Cloud;
let vms: VmClient;

beforeAll(async () => {
  cloud = await startCloud({ floatingIps: ['198.51.100.1'] });
  vms = new VmClient(cloud);
}, 60_000);
afterAll(async () => {
  expect(await fsck(cloud.database)).toEqual([]);
  await cloud.stop();
}, 60_000);

const get = (path: string, key = cloud.demo.key): Promise<Answer> => cloud.request('GET', `/v1${path}`, undefined, { api_key: key });

/** As if everything so far had happened so many hours ago. */
const hoursAgo = async (hours: number): Promise<void> => {
  const shift = `interval '${hours} hours'`;
  await cloud.database.query(`UPDATE usage_period SET started_at = started_at - ${shift}, ended_at = ended_at - ${shift}`);
  await cloud.database.query(`UPDATE price SET started_at = started_at - ${shift}, ended_at = ended_at - ${shift}`);
  await cloud.database.query(`UPDATE virtual_machine SET created_at = created_at - ${shift}, deleted_at = deleted_at - ${shift}`);
};

const usageOf = async (name: string, query = '?start_date=2000-01-01T00:00:00'): Promise<Json[]> => {
  const start = new Date(Date.now() - 48 * 3_600_000).toISOString().slice(0, 19);
  const { body } = await get(`/usage${query.replace('2000-01-01T00:00:00', start)}`);
  return body.usage.filter((row: Json) => row.name === name);
};

describe('the price book', () => {
  it('is a bare array of numbers, and costs nothing as long as nothing is set', async () => {
    const { status, body } = await get('/pricebook');
    expect(status).toBe(200);
    expect(body).toContainEqual(expect.objectContaining({ name: 'tiny-1', value: 0, original_value: 0, discount_applied: false }));
    expect(body.map(({ name }: Json) => name)).toEqual(expect.arrayContaining(['Cloud-SSD', 'Floating IP']));
  });

  it('has one price for each thing, however many set it at once', async () => {
    await Promise.all([1, 2, 3, 4].map((price) => setPrice(cloud.database, 'volume', 'Cloud-SSD', price)));
    const { body } = await get('/pricebook');
    const [line, ...others] = body.filter(({ name }: Json) => name === 'Cloud-SSD');
    expect(others).toEqual([]);
    expect([1, 2, 3, 4]).toContain(line.value);
    const rows = await cloud.database.query(`SELECT 1 FROM price WHERE kind = 'volume' AND ended_at IS NULL`);
    expect(rows).toHaveLength(1);
  });
});

describe('the usage of a VM', () => {
  it('parts running, stopped and hibernated hours, and those of each flavor; a hibernated VM costs nothing', async () => {
    await setPrice(cloud.database, 'virtual-machine', 'tiny-1', 2);
    await setPrice(cloud.database, 'virtual-machine', 'small-1', 5);
    const { id } = await vms.active({ name: 'worker' });
    await hoursAgo(1);
    await vms.get(`/${id}/stop`);
    await vms.reaches(id, 'SHUTOFF');
    await hoursAgo(2);
    await vms.get(`/${id}/start`);
    await vms.reaches(id, 'ACTIVE');
    await vms.send('POST', `/${id}/resize`, { flavor_name: 'small-1' });
    await vms.reaches(id, 'ACTIVE');
    await hoursAgo(3);
    await vms.get(`/${id}/hibernate`);
    await vms.reaches(id, 'HIBERNATED');
    await hoursAgo(4);

    const [tiny, small, ...more] = await usageOf('worker');
    expect(more).toEqual([]);
    expect(tiny).toMatchObject({ virtual_machine_id: id, environment: 'demo', flavor: 'tiny-1' });
    expect(tiny!.running_hours).toBeCloseTo(1, 1);
    expect(tiny!.stopped_hours).toBeCloseTo(2, 1);
    expect(tiny!.hibernated_hours).toBe(0);
    expect(tiny!.cost).toBeCloseTo(6, 0);
    expect(small!.flavor).toBe('small-1');
    expect(small!.running_hours).toBeCloseTo(3, 1);
    expect(small!.hibernated_hours).toBeCloseTo(4, 1);
    expect(small!.cost).toBeCloseTo(15, 0);

    const { metrics } = (await get(`/billing/billing/history/virtual-machine/${id}?start_date=${new Date(Date.now() - 172_800_000).toISOString().slice(0, 19)}`))
      .body.billing_history_vm_details.billing_history[0];
    expect(metrics.usage_time_ACTIVE).toBeCloseTo(4 * 60, 0);
    expect(metrics.usage_time_SHUTOFF).toBeCloseTo(2 * 60, 0);
    expect(metrics.usage_time_HIBERNATED).toBeCloseTo(4 * 60, 0);
    expect(metrics.incurred_bill).toBeCloseTo(21, 0);
    expect(metrics.price_per_hour).toBe(0);
  });

  it('is counted on every page alike, also on one beyond the last', async () => {
    await vms.active({ name: 'counted' });
    const [first, beyond] = [await get('/usage?page=1&per_page=1'), await get('/usage?page=900&per_page=1')];
    expect(first.body.count).toBeGreaterThan(0);
    expect(beyond.body).toMatchObject({ count: first.body.count, usage: [] });
  });

  it('stays after the VM is deleted, and grows no more', async () => {
    const { id } = await vms.active({ name: 'short-lived' });
    await hoursAgo(1);
    await vms.delete(`/${id}`);
    await vms.gone(id);
    const before = await usageOf('short-lived');
    await hoursAgo(1);
    expect(await usageOf('short-lived')).toEqual(before);
    expect(before[0]!.running_hours).toBeCloseTo(1, 1);
    const { body } = await get('/billing/billing/usage?deleted=true');
    expect(body.data).toContainEqual(expect.objectContaining({ resource_id: id, resource_type: 'vm', active: false, bill_per_minute: 0 }));
  });

  it('keeps the price of its time when the price changes', async () => {
    await setPrice(cloud.database, 'virtual-machine', 'tiny-1', 10);
    await vms.active({ name: 'priced' });
    await hoursAgo(2);
    await setPrice(cloud.database, 'virtual-machine', 'tiny-1', 1);
    await hoursAgo(3);
    expect((await usageOf('priced'))[0]!.cost).toBeCloseTo(23, 0);
  });

  it('has the floating IP beside it, until that is free again', async () => {
    await setPrice(cloud.database, 'floating-ip', '', 7);
    const { id } = await vms.active({ name: 'public', assign_floating_ip: true });
    const price = async () => (await get(`/pricebook/calculate/resource/vm/${id}`)).body.calculated_resource_bills.resource;
    expect(await price()).toMatchObject({ name: 'public', type: 'vm', price: 8 });
    await vms.send('POST', `/${id}/detach-floatingip`);
    await eventually(async () => expect((await price()).price).toBe(1));
  });
});

describe('the usage of a volume', () => {
  it('counts its gigabytes until it is deleted', async () => {
    await setPrice(cloud.database, 'volume', 'Cloud-SSD', 0.5);
    const body = { name: 'disk', environment_name: 'demo', size: 4, volume_type: 'Cloud-SSD' };
    const { id } = (await cloud.request('POST', '/v1/core/volumes', body, { api_key: cloud.demo.key })).body.volume;
    const price = async () => (await get(`/pricebook/calculate/resource/volume/${id}`)).body.calculated_resource_bills.resource.price;
    expect(await price()).toBe(2);
    expect((await get('/core/dashboard')).body.overview.volume.cost_per_hour).toBe(2);
    expect((await cloud.request('DELETE', `/v1/core/volumes/${id}`, undefined, { api_key: cloud.demo.key })).status).toBe(200);
    expect(await price()).toBe(0);
  });
});

describe('usage', () => {
  it('of another organization is not found', async () => {
    const { id } = await vms.active({ name: 'secret' });
    for (const path of [
      `/pricebook/calculate/resource/vm/${id}`,
      `/billing/billing/history/virtual-machine/${id}`,
      `/billing/billing/history/virtual-machine/${id}/graph`,
      `/billing/billing/virtual-machine/${id}/billing-events`,
    ])
      expect({ path, status: (await get(path, cloud.other.key)).status }).toEqual({ path, status: 404 });
    expect((await get('/usage', cloud.other.key)).body).toMatchObject({ count: 0, usage: [], currency: 'USD' });
    expect((await get('/billing/billing/usage', cloud.other.key)).body.data).toEqual([]);
  });

  it.each([
    ['start_date=yesterday', 'start_date is no time'],
    ['start_date=2026-02-30T00:00:00', 'start_date is no time'],
    ['start_date=2026-02-02T00:00:00&end_date=2026-02-01T00:00:00', 'before'],
    ['start_date=2020-01-01T00:00:00', 'at most 400 days'],
    ['surprise=1', 'not a known field'],
  ])('asked for with %s is refused', async (query, words) => {
    const { status, body } = await get(`/billing/billing/history?${query}`);
    expect({ status, told: body.message.includes(words) }).toEqual({ status: 400, told: true });
  });

  it('of more than fits into one answer comes in parts, what is still there first', async () => {
    await cloud.database.query(
      `INSERT INTO volume (uuid, organization_id, environment_id, user_id, name, description, size_gib, volume_type, removal_requested_at, deleted_at)
       SELECT gen_random_uuid(), k.organization_id, e.id, k.user_id, 'gone-' || n, '', 1, 'Cloud-SSD', now(), now()
         FROM api_key k JOIN environment e ON e.organization_id = k.organization_id AND e.name = 'demo', generate_series(1, 1001) n`,
    );
    const body = { name: 'alive', environment_name: 'demo', size: 1, volume_type: 'Cloud-SSD' };
    const { id } = (await cloud.request('POST', '/v1/core/volumes', body)).body.volume;
    const volumesOf = ({ body }: Answer): Json[] => body.data.filter((row: Json) => row.resource_type === 'volume');
    const [first, second, third] = [
      await get('/billing/billing/usage'),
      await get('/billing/billing/usage?page=2&per_page=1000'),
      await get('/billing/billing/usage?page=3&per_page=1000'),
    ];
    const all = [...volumesOf(first), ...volumesOf(second)];
    expect(volumesOf(first)).toHaveLength(1000);
    expect(volumesOf(first)[0]).toMatchObject({ resource_id: id, active: true });
    expect(new Set(all.map((row) => row.resource_id)).size).toBe(all.length);
    expect(all.length).toBeGreaterThanOrEqual(1002);
    expect(first.body).toMatchObject({ volume_count: all.length, message: expect.stringContaining('page=2&per_page=1000') });
    expect(second.body.message).not.toContain('page=');
    expect(third.body.data).toEqual([]);
    for (const path of ['history/volume', 'history/volume?search=gone-']) {
      const { billing_history, pagination, total_count } = (await get(`/billing/billing/${path}`)).body.billing_history_volume;
      expect(billing_history).toHaveLength(1000);
      expect({ ...pagination, total_count }).toMatchObject({ page: 1, pages: 2, per_page: 1000, total_count: expect.any(Number) });
    }
  });

  it('adds up in the graph of a VM', async () => {
    await vms.active({ name: 'drawn' });
    const [vm] = (await get('/billing/billing/history/virtual-machine?search=drawn&page=1&per_page=5')).body.billing_history_vm.billing_history;
    await hoursAgo(5);
    const since = new Date(Date.now() - 24 * 3_600_000).toISOString().slice(0, 19);
    const graph = (await get(`/billing/billing/history/virtual-machine/${vm.attributes.infrahub_id}/graph?start_date=${since}`)).body.billing_history_vm_details;
    const [{ metrics }] = graph.billing_history;
    expect(graph.granularity).toBe(3600);
    expect(metrics.incurred_bill).toBeCloseTo(5, 1);
    const points = metrics.incurred_bill_graph.map(({ value }: Json) => value);
    expect(points.reduce((sum: number, value: number) => sum + value, 0)).toBeCloseTo(metrics.incurred_bill, 4);
  });
});
