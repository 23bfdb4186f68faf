/** What the fleet has to give and an organization has, in numbers; and what Baton says about what it leaves out. */
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { startCloud, type Cloud, type Json } from './support/cloud.js';
import { eventually } from './support/eventually.js';
import { insert } from './support/api.js';
import { mismatches } from './support/infrahub-model.js';
import { VmClient } from './support/vm-client.js';

const MODEL = 'TEST-GPU';
const NO_FORECAST = ['planned_7_days', 'planned_30_days', 'planned_100_days'];

// Longer than the patience of a single expectation.
jest.setTimeout(30_000);

let cloud: Cloud;
let vms: VmClient;

beforeAll(async () => {
  cloud = await startCloud({ nodes: 2, gpus: [{ model: MODEL, count: 3 }] });
  vms = new VmClient(cloud);
  const [{ id }] = await cloud.database.query<[{ id: number }]>(`SELECT id FROM region WHERE name = 'default-1'`);
  await insert(cloud.database, 'flavor', {
    region_id: id,
    name: 'gpu-2',
    cpu: 1,
    ram_mib: 256,
    disk: 1,
    gpu: MODEL,
    gpu_count: 2,
  });
});
afterAll(async () => await cloud?.stop());

const get = async (path: string): Promise<Json> => {
  const { status, body } = await cloud.request('GET', path);
  expect(status).toBe(200);
  return body;
};

const stockOf = async (): Promise<Json> => {
  const body = await get('/v1/core/stocks');
  expect(mismatches('NewStockRetriveResponse', body, NO_FORECAST)).toEqual([]);
  return body.stocks[0].models.find((stock: { model: string }) => stock.model === MODEL);
};

describe('GPU stock', () => {
  it('counts what is free on each node that is up, and follows claims, draining and leases', async () => {
    expect(await stockOf()).toMatchObject({ available: '6', configurations: { '1x': 6, '2x': 2, '4x': 0, '8x': 0, '10x': 0 } });
    const vm = await vms.active({ name: 'trainer', flavor_name: 'gpu-2' });
    expect(await stockOf()).toMatchObject({ available: '4', configurations: { '1x': 4, '2x': 1 } });

    await cloud.database.query(`UPDATE compute_node SET draining = true WHERE name = 'node-1'`);
    const left = await stockOf();
    expect(['1', '3']).toContain(left.available);
    await cloud.database.query('UPDATE compute_node SET draining = false');

    await vms.delete(`/${vm.id}`);
    await vms.gone(vm.id);
    expect((await stockOf()).available).toBe('6');
    await cloud.nodes[1]!.stop();
    await cloud.database.query(
      `UPDATE compute_node_heartbeat SET beat_at = now() - interval '1 hour'
        WHERE compute_node_id = (SELECT id FROM compute_node WHERE name = 'node-2')`,
    );
    expect((await stockOf()).available).toBe('3');
    await cloud.nodes[1]!.start();
    await eventually(async () => expect((await stockOf()).available).toBe('6'));
  });

  it('has its models listed once, with the regions that offer them', async () => {
    const body = await get('/v1/core/gpus');
    expect(mismatches('GPUList', body)).toEqual([]);
    const listed = body.gpu_list.filter((gpu: { name: string }) => gpu.name === MODEL);
    expect(listed).toMatchObject([{ name: MODEL, regions: [{ name: 'default-1' }] }]);
  });
});

describe('the default choices', () => {
  it('are a flavor and an image that make a VM, and the own keypair', async () => {
    const body = await get('/v1/core/user/resources/defaults');
    expect(mismatches('UserDefaultChoicesForUserResponse', body)).toEqual([]);
    const [choice] = body.user_default_choices;
    const flavors = (await get('/v1/core/flavors')).data.flatMap((group: Json) => group.flavors);
    expect(flavors.map((flavor: Json) => flavor.id)).toContain(choice.flavor_id);
    expect((await get(`/v1/core/images/${choice.image_id}`)).image.id).toBe(choice.image_id);
    const keypairs = (await get('/v1/core/keypairs')).keypairs;
    expect(choice.keypair_id).toBe(keypairs[0].id);
  });
});

describe('the dashboard', () => {
  it('counts the own VMs and what they have, and nobody else sees them', async () => {
    const vm = await vms.active({ name: 'counted', flavor_name: 'gpu-2' });
    const body = await get('/v1/core/dashboard');
    expect(mismatches('DashboardInfoResponse', body)).toEqual([]);
    expect(body.overview.instance).toEqual({ count: 1, gpus: 2, vcpus: 1, ram: 0.25, cost_per_hour: 0 });
    const other = await cloud.request('GET', '/v1/core/dashboard', undefined, { api_key: cloud.other.key });
    expect(other.body.overview.instance.count).toBe(0);
    await vms.delete(`/${vm.id}`);
    await vms.gone(vm.id);
    expect((await get('/v1/core/dashboard')).overview.instance.count).toBe(0);
  });
});

describe('the dashboard of volumes', () => {
  it('counts the own volumes and their size', async () => {
    const body = { name: 'counted', environment_name: 'demo', size: 7, volume_type: 'Cloud-SSD' };
    const { volume } = (await cloud.request('POST', '/v1/core/volumes', body)).body;
    expect((await get('/v1/core/dashboard')).overview.volume).toEqual({ count: 1, using: 7, cost_per_hour: 0 });
    await cloud.request('DELETE', `/v1/core/volumes/${volume.id}`);
    expect((await get('/v1/core/dashboard')).overview.volume).toEqual({ count: 0, using: 0, cost_per_hour: 0 });
  });
});

describe('what Baton leaves out', () => {
  it.each([
    ['GET', '/v1/core/clusters', 'Kubernetes clusters'],
    ['DELETE', '/v1/core/clusters/1/nodes/2', 'Kubernetes clusters'],
    ['GET', '/v1/billing/user-credit/credit', 'Credit'],
    ['PUT', '/v1/billing/billing/threshold/1', 'notifications of cost'],
    ['POST', '/v1/core/marketplace/templates', 'Marketplace templates and deployments'],
    ['GET', '/v1/core/compliance', 'GPU compliance rules'],
    ['GET', '/v1/pricebook/contracts', 'Contracts'],
    ['GET', '/v1/pricebook/contracts/1/gpu_allocation_graph?start_date=2026-01-01', 'Contracts'],
    ['GET', '/v1/core/virtual-machines/contract/1/virtual-machines', 'Contracts'],
    ['PATCH', '/v1/core/virtual-machines/1/enhanced-metrics', 'Metrics from inside of guests'],
    ['GET', '/v1/object-storage/buckets', 'Object storage'],
    ['GET', '/v1/auth/user-consent-events/terms/events', 'Consents of users'],
    ['GET', '/v1/auth/email/opt-out?x=1', 'Preferences of e-mail'],
  ])('answers %s %s with 501 and says what it is', async (method, path, what) => {
    const { status, body } = await cloud.request(method, path, method === 'GET' ? undefined : {});
    expect({ status, reason: body.error_reason }).toEqual({ status: 501, reason: 'not_implemented' });
    expect(body.message).toContain(what);
  });

  it('has of a cluster but the environment that it is in, where somebody runs one', async () => {
    const environment = (await cloud.request('GET', '/v1/core/environments?search=demo')).body.environments[0];
    const path = `/v1/core/clusters/${environment.id}`;
    expect((await cloud.request('GET', path)).status).toBe(501);
    const vm = await vms.active({ name: 'kubelet', labels: ['kubernetes'] });
    expect((await cloud.request('GET', path)).body.cluster).toMatchObject({ id: environment.id, environment_name: 'demo', status: 'ACTIVE' });
    expect((await cloud.request('GET', path, undefined, { api_key: cloud.other.key })).status).toBe(501);
    expect((await cloud.request('DELETE', path)).status).toBe(501);
    for (const other of ['versions', '999999', `${environment.id}/nodes`])
      expect((await cloud.request('GET', `/v1/core/clusters/${other}`)).status).toBe(501);
    await cloud.request('DELETE', `/v1/core/virtual-machines/${vm.id}`);
  });

  it('is told only to those with a key, and a path beside it is not found', async () => {
    expect((await cloud.request('GET', '/v1/core/clusters', undefined, {})).status).toBe(401);
    expect((await cloud.request('GET', '/v1/core/clustersandmore')).status).toBe(404);
  });
});

describe('the catalogue', () => {
  it.each(['stocks', 'gpus', 'dashboard', 'user/resources/defaults'])('has %s for those with a key', async (path) => {
    expect((await cloud.request('GET', `/v1/core/${path}`, undefined, { api_key: 'baton_key_wrong' })).status).toBe(401);
  });
});
