/** Volumes that grow: detached, with a VM that runs or is off, refused, and within a quota. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { fsck } from '../src/conductor/admin/fsck.js';
import { setQuota, type Limits } from '../src/conductor/quotas/set-quota.js';
import { startCloud, type Answer, type Cloud } from './support/cloud.js';
import { eventually } from './support/eventually.js';
import { mismatches } from './support/infrahub-model.js';
import { VmClient } from './support/vm-client.js';
import { VolumeClient } from './support/volume-client.js';

const UNLIMITED: Limits = { volumes: null, volume_gib: null, floating_ips: null };

let cloud: Cloud;
let vms: VmClient;
let volumes: VolumeClient;

beforeAll(async () => {
  cloud = await startCloud({
    capacity: { cpus: 32, memoryMib: 131_072, diskGib: 300 },
    conductors: 2,
    floatingIps: ['198.51.100.1', '198.51.100.2', '198.51.100.3'],
  });
  vms = new VmClient(cloud);
  volumes = new VolumeClient(cloud);
}, 60_000);

afterEach(async () => {
  cloud.nodes[0]!.hypervisor.misbehaviours = {};
  await setQuota(cloud.database, 'demo', UNLIMITED);
});

afterAll(async () => {
  expect(await fsck(cloud.database)).toEqual([]);
  await cloud.stop();
});

const expectRefusal = (answer: Answer, status: number, words: string): void =>
  expect({ status: answer.status, message: answer.body.message }).toEqual({ status, message: expect.stringContaining(words) });

const used = async (): Promise<Record<string, number>> =>
  Object.fromEntries((await setQuota(cloud.database, 'demo', {}))!.map(({ kind, used }) => [kind, used]));

describe('a volume', () => {
  it('that is on no node yet grows in its row alone', async () => {
    const volume = await volumes.create('seed', { size: 3 });
    const { status, body } = await volumes.grow(volume.id, 5);
    expect(status).toBe(200);
    expect(mismatches('UpdateVolumeResponse', body, ['callback_url'])).toEqual([]);
    expect(body).toMatchObject({ volume: { size: 5, status: 'available' }, updates: { size: 5 } });
    await volumes.delete(volume.id);
  });

  it('grows while its VM runs, on the node and in its claim', async () => {
    const vm = await vms.active({ name: 'grower' });
    const volume = await volumes.create('live', { size: 4 });
    await volumes.attach(vm, volume);
    await volumes.reaches(volume.id, 'in-use');
    const before = await volumes.diskUsed();
    expect((await volumes.grow(volume.id, 9)).status).toBe(200);
    expect(await volumes.diskUsed()).toBe(before + 5);
    await eventually(async () => expect(await volumes.sizesOnNode(vm)).toEqual([9]));
    expect((await vms.get(`/${vm.id}`)).body.instance).toMatchObject({ status: 'ACTIVE', volume_attachments: [{ volume: { size: 9 } }] });
    expect(await volumes.shown(volume.id)).toMatchObject({ status: 'in-use', size: 9 });
    const events = (await vms.get(`/${vm.id}/events`)).body.instance_events;
    expect(events.at(-1)).toMatchObject({ reason: 'VolumeGrowthRequest', message: "The volume 'live' grows from 4 to 9 GiB." });
  });

  it('grows while its VM is off, and the VM stays off', async () => {
    const vm = await vms.active({ name: 'sleeping-grower' });
    const volume = await volumes.create('asleep', { size: 2 });
    await volumes.attach(vm, volume);
    await volumes.reaches(volume.id, 'in-use');
    await vms.get(`/${vm.id}/stop`);
    await vms.reaches(vm.id, 'SHUTOFF');
    expect((await volumes.grow(volume.id, 6)).status).toBe(200);
    await eventually(async () => expect(await volumes.sizesOnNode(vm)).toEqual([6]));
    expect((await vms.get(`/${vm.id}`)).body.instance.status).toBe('SHUTOFF');
  });

  it('that was detached grows, and has its new size with its next VM', async () => {
    const vm = await vms.active({ name: 'second-home' });
    const volume = await volumes.create('traveller', { size: 2 });
    await volumes.attach(vm, volume);
    await volumes.reaches(volume.id, 'in-use');
    await volumes.detach(vm, volume);
    await volumes.reaches(volume.id, 'available');
    const before = await volumes.diskUsed();
    expect((await volumes.grow(volume.id, 3)).status).toBe(200);
    expect(await volumes.diskUsed()).toBe(before + 1);
    await volumes.attach(vm, volume);
    await volumes.reaches(volume.id, 'in-use');
    expect(await volumes.sizesOnNode(vm)).toEqual([3]);
  });

  it('moves and grows by one request, or does neither', async () => {
    await volumes.send('POST', 'environments', { name: 'larger-home', region: 'default-1' });
    const volume = await volumes.create('both', { size: 2 });
    expect((await volumes.send('PATCH', `volumes/${volume.id}`, { environment_name: 'nowhere', size: 4 })).status).toBe(404);
    expect(await volumes.shown(volume.id)).toMatchObject({ size: 2, environment: { name: 'demo' } });
    const { body } = await volumes.send('PUT', `volumes/${volume.id}`, { environment_name: 'larger-home', size: 4 });
    expect(body.volume).toMatchObject({ size: 4, environment: { name: 'larger-home' } });
    expectRefusal(await volumes.send('PATCH', `volumes/${volume.id}`, {}), 400, 'Name what shall change');
  });

  it('stays as it is where it cannot grow', async () => {
    const vm = await vms.active({ name: 'cramped' });
    const volume = await volumes.create('as-it-was', { size: 5 });
    await volumes.attach(vm, volume);
    await volumes.reaches(volume.id, 'in-use');
    const before = await volumes.diskUsed();
    expectRefusal(await volumes.grow(volume.id, 5), 400, 'can only grow');
    expectRefusal(await volumes.grow(volume.id, 4), 400, 'can only grow');
    expectRefusal(await volumes.grow(volume.id, 0), 400, 'size');
    expectRefusal(await volumes.grow(volume.id, 2_000_000), 400, 'size');
    expectRefusal(await volumes.grow(volume.id, 1_048_576), 409, 'has no room');
    expectRefusal(await volumes.grow(999_999, 7), 404, 'was not found');
    expect((await volumes.send('PATCH', `volumes/${volume.id}`, { size: 7 }, { api_key: cloud.other.key })).status).toBe(404);
    expect(await volumes.shown(volume.id)).toMatchObject({ size: 5, status: 'in-use' });
    expect(await volumes.diskUsed()).toBe(before);
    expect(await volumes.sizesOnNode(vm)).toEqual([5]);
  });

  it('does not grow while its VM is hibernated, nor while it is on its way from a VM', async () => {
    const vm = await vms.active({ name: 'winter' });
    const volume = await volumes.create('cold', { size: 2 });
    await volumes.attach(vm, volume);
    await volumes.reaches(volume.id, 'in-use');
    await vms.get(`/${vm.id}/hibernate`);
    await vms.reaches(vm.id, 'HIBERNATED');
    expectRefusal(await volumes.grow(volume.id, 3), 400, 'which is HIBERNATED');
    await vms.get(`/${vm.id}/hibernate-restore`);
    await vms.reaches(vm.id, 'ACTIVE');
    cloud.nodes[0]!.hypervisor.misbehaviours = { setVolumes: { kind: 'slow', ms: 500 } };
    await volumes.detach(vm, volume);
    expectRefusal(await volumes.grow(volume.id, 3), 400, 'is detaching');
    await volumes.reaches(volume.id, 'available');
  });

  it('grows once where two ask for the last room at the same time', async () => {
    const [{ free }] = await cloud.database.query('SELECT disk_gib_total - disk_gib_used AS free FROM compute_node');
    const vm = await vms.active({ name: 'crowded' });
    const rivals = [await volumes.create('rival-1', { size: 1 }), await volumes.create('rival-2', { size: 1 })];
    await volumes.attach(vm, ...rivals);
    for (const { id } of rivals) await volumes.reaches(id, 'in-use');
    const answers = await Promise.all(rivals.map(({ id }) => volumes.grow(id, Math.floor(free / 2) + 2)));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409]);
    for (const { id } of rivals) {
      await volumes.detach(vm, { id });
      await volumes.reaches(id, 'available');
      await volumes.delete(id);
      await volumes.gone(id);
    }
  });
});

describe('a quota', () => {
  it('of volumes and their size is enforced at creation and growth, and given back when the file is gone', async () => {
    const before = await used();
    await setQuota(cloud.database, 'demo', { volumes: before['volumes']! + 2, volume_gib: before['volume_gib']! + 10 });
    const first = await volumes.create('counted', { size: 4 });
    expectRefusal(await volumes.send('POST', 'volumes', volumes.payload('too-large', { size: 7 })), 403, 'GiB of volumes');
    await volumes.create('counted-too', { size: 4 });
    expectRefusal(await volumes.send('POST', 'volumes', volumes.payload('too-many', { size: 1 })), 403, 'volumes');
    expectRefusal(await volumes.grow(first.id, 7), 403, 'GiB of volumes');
    expect(await volumes.shown(first.id)).toMatchObject({ size: 4 });
    expect((await volumes.grow(first.id, 6)).status).toBe(200);
    expect(await used()).toMatchObject({ volumes: before['volumes']! + 2, volume_gib: before['volume_gib']! + 10 });
    await volumes.delete(first.id);
    expect(await used()).toMatchObject({ volumes: before['volumes']! + 1, volume_gib: before['volume_gib']! + 4 });
  });

  it('gives its last three volumes to three of twelve who ask at once', async () => {
    const { volumes: there } = await used();
    await setQuota(cloud.database, 'demo', { volumes: there! + 3 });
    const answers = await Promise.all(
      Array.from({ length: 12 }, (_, n) =>
        cloud.request('POST', '/v1/core/volumes', volumes.payload(`race-${n}`, { size: 1 }), { api_key: cloud.demo.key }, n % 2),
      ),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(3);
    for (const { status, body } of answers.filter((answer) => answer.status !== 200))
      expect({ status, reason: body.error_reason }).toEqual({ status: 403, reason: 'quota_exceeded' });
  });

  it('of floating IPs is enforced at creation and attaching, and given back', async () => {
    await setQuota(cloud.database, 'demo', { floating_ips: 1 });
    const vm = await vms.active({ name: 'public-one', assign_floating_ip: true });
    const second = await vms.active({ name: 'private-one' });
    expectRefusal(await vms.post({ name: 'public-two', assign_floating_ip: true }), 403, 'floating IPs');
    expectRefusal(await vms.post({ name: 'public-two', assign_floating_ip: true }, {}, '?dry_run=true'), 403, 'floating IPs');
    expectRefusal(await vms.send('POST', `/${second.id}/attach-floatingip`), 403, 'floating IPs');
    expect(await used()).toMatchObject({ floating_ips: 1 });
    await vms.delete(`/${vm.id}`);
    await vms.gone(vm.id);
    expect(await used()).toMatchObject({ floating_ips: 0 });
    expect((await vms.send('POST', `/${second.id}/attach-floatingip`)).status).toBe(200);
  });

  it('is counted anew by fsck where it went wrong', async () => {
    await cloud.database.query('UPDATE organization_quota SET volumes_used = volumes_used + 7, volume_gib_used = volume_gib_used + 1');
    const found = await fsck(cloud.database, { repair: true });
    expect(found.map(({ invariant, repaired }) => ({ invariant, repaired }))).toContainEqual({ invariant: 'quota-usage-adds-up', repaired: true });
    expect(await fsck(cloud.database)).toEqual([]);
  });
});
