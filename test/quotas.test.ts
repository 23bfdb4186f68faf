/** What an organization may have: exact under contention, given back, counted anew by fsck. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { fsck } from '../src/conductor/admin/fsck.js';
import { setQuota, type Limits } from '../src/conductor/quotas/set-quota.js';
import { startCloud, type Answer, type Cloud, type Json } from './support/cloud.js';
import { mismatches } from './support/infrahub-model.js';
import { VmClient } from './support/vm-client.js';

const UNLIMITED: Limits = { vms: null, vcpus: null, memory_mib: null, disk_gib: null, gpus: null };
/** Of the flavor tiny-1. */
const MEMORY_MIB = 256;

let cloud: Cloud;
let vms: VmClient;
let atEach: VmClient[];

beforeAll(async () => {
  cloud = await startCloud({ nodes: 2, conductors: 2, gpus: [{ model: 'L40', count: 4 }] });
  vms = new VmClient(cloud);
  atEach = cloud.urls.map((_, index) => new VmClient(cloud, cloud.demo, index));
}, 60_000);

afterAll(async () => {
  expect(await fsck(cloud.database)).toEqual([]);
  await cloud.stop();
}, 60_000);

beforeEach(async () => {
  await setQuota(cloud.database, 'demo', UNLIMITED);
  const made = await instances();
  for (const { id } of made) await vms.reaches(id, 'ACTIVE');
  await Promise.all(made.map(({ id }) => vms.delete(`/${id}`)));
  for (const { id } of made) await vms.gone(id);
}, 30_000);

const instances = async (): Promise<Json[]> => (await vms.get('')).body.instances;

const limit = (limits: Limits) => setQuota(cloud.database, 'demo', limits);

const used = async (): Promise<Record<string, number>> =>
  Object.fromEntries((await limit({}))!.map(({ kind, used }) => [kind, used]));

/** `times` requests, spread over the conductors, all at once. */
const atOnce = (times: number, change: object): Promise<Answer[]> =>
  Promise.all(Array.from({ length: times }, (_, index) => atEach[index % atEach.length]!.post(change)));

const statuses = (answers: readonly Answer[]): Record<number, number> =>
  answers.reduce<Record<number, number>>((counts, { status }) => ({ ...counts, [status]: (counts[status] ?? 0) + 1 }), {});

describe('a quota of VMs', () => {
  it('gives its last five to five of twenty who ask at once, and gives back what is deleted', async () => {
    await limit({ vms: 7 });
    await vms.post({ count: 2 });
    const answers = await atOnce(20, {});
    expect(statuses(answers)).toEqual({ 200: 5, 403: 15 });
    for (const { body } of answers.filter(({ status }) => status === 403))
      expect(body).toMatchObject({ status: false, error_reason: 'quota_exceeded' });
    expect(await used()).toMatchObject({ vms: 7, vcpus: 7, memory_mib: 7 * MEMORY_MIB });
    expect(await fsck(cloud.database)).toEqual([]);

    const [first] = await instances();
    await vms.reaches(first.id, 'ACTIVE');
    await vms.delete(`/${first.id}`);
    await vms.gone(first.id);
    expect(await used()).toMatchObject({ vms: 6 });
    expect(statuses(await atOnce(4, {}))).toEqual({ 200: 1, 403: 3 });
  }, 60_000);

  it('is refused in words that name limit, use and demand', async () => {
    await limit({ vms: 3, memory_mib: 1000 });
    await vms.post({});
    const { status, body } = await vms.post({ count: 4 });
    expect(status).toBe(403);
    expect(body.message).toBe(
      "The organization's quota is exceeded: of 3 virtual machines, 1 are used and 4 more were asked for; " +
        'of 1000 MiB of memory, 256 are used and 1024 more were asked for. ' +
        'Delete what is not needed, or ask the operator to raise the quota.',
    );
    expect(await instances()).toHaveLength(1);
  });

  it('leaves no part of a series behind, neither VMs nor use nor claims', async () => {
    await limit({ vms: 5 });
    expect(statuses(await atOnce(6, { count: 3 }))).toEqual({ 200: 1, 403: 5 });
    expect(await used()).toMatchObject({ vms: 3 });
    expect(await fsck(cloud.database)).toEqual([]);
  }, 30_000);

  it('answers a repeated request alike, also when it was for the last one', async () => {
    await limit({ vms: 1 });
    const answers = await Promise.all(Array.from({ length: 6 }, () => vms.post({}, { 'Idempotency-Key': 'the-last' })));
    expect(statuses(answers)).toEqual({ 200: 6 });
    expect(await used()).toMatchObject({ vms: 1 });
  });

  it('counts for one organization, whatever others have', async () => {
    await limit({ vms: 0 });
    expect((await vms.post({})).status).toBe(403);
    const other = new VmClient(cloud, cloud.other);
    const vm = await other.active({});
    await other.delete(`/${vm.id}`);
    await other.gone(vm.id);
  });

  it('is told beforehand by a dry run', async () => {
    await limit({ vms: 1 });
    expect((await vms.post({ count: 2 }, {}, '?dry_run=true')).body).toMatchObject({ error_reason: 'quota_exceeded' });
    expect((await vms.post({}, {}, '?dry_run=true')).status).toBe(200);
  });

  it('below what there is takes nothing away, and allows no more', async () => {
    const vm = await vms.active({});
    await limit({ vms: 0 });
    expect((await vms.post({})).status).toBe(403);
    await vms.delete(`/${vm.id}`);
    await vms.gone(vm.id);
    expect(await used()).toMatchObject({ vms: 0, vcpus: 0, memory_mib: 0, disk_gib: 0, gpus: 0 });
  });
});

it('a quota of GPUs is kept like one of VMs', async () => {
  await limit({ gpus: 2 });
  expect(statuses(await atOnce(6, { flavor_name: 'n3-L40x1' }))).toEqual({ 200: 2, 403: 4 });
  expect(await used()).toMatchObject({ gpus: 2 });
}, 30_000);

it('a resize beyond the quota is refused and changes nothing', async () => {
  const vm = await vms.active({});
  const before = await used();
  await limit({ vcpus: 1 });
  const { status, body } = await vms.send('POST', `/${vm.id}/resize`, { flavor_name: 'medium-1' });
  expect({ status, reason: body.error_reason }).toEqual({ status: 403, reason: 'quota_exceeded' });
  expect(body.message).toMatch(/of 1 vCPUs, 1 are used and 1 more were asked for/);
  expect(await vms.reaches(vm.id, 'ACTIVE')).toMatchObject({ flavor: { name: 'tiny-1' } });
  expect(await used()).toEqual(before);
  expect(await fsck(cloud.database)).toEqual([]);

  await limit({ vcpus: 2 });
  expect((await vms.send('POST', `/${vm.id}/resize`, { flavor_name: 'medium-1' })).status).toBe(200);
  await vms.reaches(vm.id, 'ACTIVE');
  expect(await used()).toMatchObject({ vms: 1, vcpus: 2, memory_mib: 4096, disk_gib: 20 });
}, 30_000);

it('a hibernated VM counts as one and with its disk alone, and is not restored beyond the quota', async () => {
  const vm = await vms.active({});
  await vms.get(`/${vm.id}/hibernate`);
  await vms.reaches(vm.id, 'HIBERNATED');
  expect(await used()).toMatchObject({ vms: 1, vcpus: 0, memory_mib: 0, disk_gib: 1 });
  await limit({ vcpus: 0 });
  expect((await vms.get(`/${vm.id}/hibernate-restore`)).body).toMatchObject({ error_reason: 'quota_exceeded' });
  await limit({ vcpus: null });
  expect((await vms.get(`/${vm.id}/hibernate-restore`)).status).toBe(200);
  await vms.reaches(vm.id, 'ACTIVE');
  expect(await used()).toMatchObject({ vms: 1, vcpus: 1, memory_mib: MEMORY_MIB });
}, 30_000);

it('the quota is shown for an environment, without envelope', async () => {
  const { body: list } = await cloud.request('GET', '/v1/core/environments');
  const path = `/v1/core/environments/${list.environments[0].id}/vm-quota`;
  await vms.post({});
  const unlimited = await cloud.request('GET', path);
  expect(mismatches('VMQuota', unlimited.body, ['cidr', 'max_vms', 'available_vms'])).toEqual([]);
  expect(unlimited.body).toMatchObject({ max_vms: null, current_vms: 1, available_vms: null, percentage_used: 0 });
  await limit({ vms: 3 });
  const limited = await cloud.request('GET', path);
  expect(mismatches('VMQuota', limited.body, ['cidr'])).toEqual([]);
  expect(limited.body).toMatchObject({ max_vms: 3, current_vms: 1, available_vms: 2, percentage_used: 33.33 });
  expect((await cloud.request('GET', path, undefined, { api_key: cloud.other.key })).status).toBe(404);
});

it('use that was miscounted is found, and counted anew by fsck --repair', async () => {
  await vms.post({});
  await cloud.database.query('UPDATE organization_quota SET vms_used = 9, vcpus_used = 0');
  const findings = await fsck(cloud.database, { repair: true });
  expect(findings.map(({ invariant, repaired }) => ({ invariant, repaired }))).toEqual([
    { invariant: 'quota-usage-adds-up', repaired: true },
    { invariant: 'quota-usage-adds-up', repaired: true },
  ]);
  expect(await used()).toMatchObject({ vms: 1, vcpus: 1 });
  expect(await fsck(cloud.database)).toEqual([]);
});
