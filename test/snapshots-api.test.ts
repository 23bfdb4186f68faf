/** Snapshots: their life in the API, and with virtual machines on simulated nodes. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { fsck } from '../src/conductor/admin/fsck.js';
import { setQuota, type Limits } from '../src/conductor/quotas/set-quota.js';
import { startCloud, type Answer, type Cloud, type Json } from './support/cloud.js';
import type { CloudNode } from './support/cloud-node.js';
import { eventually } from './support/eventually.js';
import { WebhookReceiver } from './fixtures/webhook-receiver.js';
import { mismatches } from './support/infrahub-model.js';
import { SnapshotClient } from './support/snapshot-client.js';
import { VmClient } from './support/vm-client.js';

let cloud: Cloud;
let vms: VmClient;
let snapshots: SnapshotClient;
let node: CloudNode;

beforeAll(async () => {
  cloud = await startCloud({ settings: { BATON_EGRESS_ALLOW: '127.0.0.0/8' }, floatingIps: ['198.51.100.7'] });
  vms = new VmClient(cloud);
  snapshots = new SnapshotClient(cloud);
  node = cloud.nodes[0]!;
}, 60_000);

afterEach(() => {
  node.hypervisor.misbehaviours = {};
});

afterAll(async () => {
  expect(await fsck(cloud.database)).toEqual([]);
  await cloud.stop();
});

const asOther = (): Record<string, string> => ({ api_key: cloud.other.key });

const stopped = async (change: object): Promise<Json> => {
  const { id } = await vms.active(change);
  await vms.get(`/${id}/stop`);
  return vms.reaches(id, 'SHUTOFF');
};

const diskUsed = async (): Promise<number> =>
  (await cloud.database.query(`SELECT disk_gib_used FROM compute_node WHERE name = 'node-1'`))[0].disk_gib_used;

/** Of its own: what others give back meanwhile does not count. That the node's sum is right is for `fsck`. */
const claimOf = async (snapshot: number): Promise<number> =>
  (await cloud.database.query('SELECT claimed_gib FROM snapshot WHERE id = $1', [snapshot]))[0].claimed_gib;

const refusal = ({ status, body }: Answer) => ({ status, reason: body.error_reason });

describe('a snapshot', () => {
  it('is taken of a VM that runs, and looks as the clients of Infrahub expect', async () => {
    const vm = await vms.active({ name: 'model' });
    const { status, body } = await snapshots.ask(vm, 'first', { labels: ['nightly', 'kept'] });
    expect(status).toBe(201);
    expect(mismatches('CreateSnapshotResponse', body)).toEqual([]);
    expect(body.snapshot).toMatchObject({ name: 'first', status: 'CREATING', vm_id: vm.id, is_image: false, labels: ['nightly', 'kept'] });
    const snapshot = await snapshots.reaches(body.snapshot.id, 'SUCCESS');
    const one = await snapshots.send('GET', `snapshots/${snapshot.id}`);
    expect(mismatches('SnapshotRetrieve', one.body, ['custom_image', 'volume_id', 'volume_name'])).toEqual([]);
    expect(one.body.snapshot).toMatchObject({
      labels: 'nightly,kept',
      vm_name: 'model',
      vm_status: 'ACTIVE',
      vm_environment: 'demo',
      vm_flavor: 'tiny-1',
      vm_image: 'tiny',
      vm_keypair: 'demo',
      region: 'default-1',
    });
    const list = await snapshots.send('GET', 'snapshots');
    expect(mismatches('Snapshots', list.body, ['page', 'page_size'])).toEqual([]);
    expect(await vms.reaches(vm.id, 'ACTIVE')).toMatchObject({ is_snapshotting: false });
    expect(await node.hypervisor.snapshots()).toHaveLength(1);
  });

  it('is taken of a VM that is off, which stays off', async () => {
    const vm = await stopped({ name: 'off' });
    await snapshots.taken(vm, 'of-off');
    expect((await vms.get(`/${vm.id}`)).body.instance.status).toBe('SHUTOFF');
  });

  it('is found by part of its name, by its id, and by page', async () => {
    const vm = await vms.active({ name: 'searched' });
    const needle = await snapshots.taken(vm, 'needle-1');
    await snapshots.taken(vm, 'needle-2');
    const names = async (query: string): Promise<string[]> =>
      (await snapshots.send('GET', `snapshots?${query}`)).body.snapshots.map(({ name }: { name: string }) => name);
    expect(await names('search=NEEDLE')).toEqual(['needle-1', 'needle-2']);
    expect(await names(`search=${needle.id}`)).toContain('needle-1');
    expect(await names('search=needle&page=2&pageSize=1')).toEqual(['needle-2']);
    expect((await snapshots.send('GET', 'snapshots?search=needle&page=1&pageSize=1')).body).toMatchObject({ count: 2, page: 1, page_size: 1 });
  });

  it('has a name of its own in the organization, which is free again when it is deleted', async () => {
    const vm = await vms.active({ name: 'named' });
    const { id } = await snapshots.taken(vm, 'only-one');
    expect(refusal(await snapshots.ask(vm, 'only-one'))).toEqual({ status: 409, reason: 'already_exist' });
    expect((await vms.get(`/${vm.id}`)).body.instance.is_snapshotting).toBe(false);
    expect((await snapshots.send('GET', 'snapshots/name-availability/only-one')).body).toMatchObject({ name: 'only-one', available: false });
    await snapshots.send('DELETE', `snapshots/${id}`);
    expect((await snapshots.send('GET', 'snapshots/name-availability/only-one')).body).toMatchObject({ available: true });
    await snapshots.taken(vm, 'only-one');
  });

  it.each([
    ['no name', { name: undefined }, 'name'],
    ['a slash in its name', { name: 'a/b' }, 'may not contain slashes'],
    ['a name too long', { name: 'x'.repeat(51) }, 'name must be shorter'],
    ['no description', { description: undefined }, 'description'],
    ['a comma in a label', { labels: ['a,b'] }, 'neither slash nor comma'],
    ['a field too many', { compute_node_id: 1 }, 'compute_node_id is not a known field'],
  ])('is refused with %s', async (_what, change, words) => {
    const { status, body } = await snapshots.send('POST', 'virtual-machines/1/snapshots', { name: 'n', description: 'd', ...change });
    expect(status).toBe(400);
    expect(body.message).toContain(words);
  });

  it('is refused of a VM that is hibernated', async () => {
    const vm = await vms.active({ name: 'sleeper' });
    await vms.get(`/${vm.id}/hibernate`);
    await vms.reaches(vm.id, 'HIBERNATED');
    const answer = await snapshots.ask(vm, 'of-sleeper');
    expect(answer.status).toBe(400);
    expect(answer.body.message).toContain('ACTIVE or SHUTOFF');
  });

  it("is nobody else's: not to take, see, restore, name or delete", async () => {
    const vm = await vms.active({ name: 'private' });
    const { id } = await snapshots.taken(vm, 'private-1');
    const missing = (await snapshots.send('GET', 'snapshots/999999')).body.message;
    for (const [method, path, body] of [
      ['POST', `virtual-machines/${vm.id}/snapshots`, { name: 'theirs', description: '' }],
      ['GET', `snapshots/${id}`],
      ['GET', `snapshots/${id}/events`],
      ['POST', `snapshots/${id}/restore`, { new_vm_name: 'theirs' }],
      ['POST', `snapshots/${id}/image`, { name: 'theirs' }],
      ['DELETE', `snapshots/${id}`],
    ] as const) {
      const answer = await snapshots.send(method, path, body, asOther());
      expect({ path, status: answer.status }).toEqual({ path, status: 404 });
      if (path.startsWith('snapshots')) expect(answer.body.message).toBe(missing);
    }
    expect((await snapshots.send('GET', 'snapshots', undefined, asOther())).body).toMatchObject({ count: 0, snapshots: [] });
    expect((await snapshots.send('GET', 'snapshots/name-availability/private-1', undefined, asOther())).body.available).toBe(true);
    await snapshots.reaches(id, 'SUCCESS');
  });

  it('claims on its node what the copy takes, and all of the disk until that is known', async () => {
    const vm = await vms.active({ name: 'measured', flavor_name: 'small-1' });
    node.hypervisor.misbehaviours = { takeSnapshot: { kind: 'hanging' } };
    const { body } = await snapshots.ask(vm, 'measured-1');
    const disk = vm.flavor.disk as number;
    expect(await claimOf(body.snapshot.id)).toBe(disk);
    node.hypervisor.misbehaviours = {};
    await node.stop();
    await node.start();
    await snapshots.reaches(body.snapshot.id, 'SUCCESS');
    expect(await claimOf(body.snapshot.id)).toBe(1);
    await snapshots.send('DELETE', `snapshots/${body.snapshot.id}`);
    await snapshots.gone(body.snapshot.id);
    expect(await claimOf(body.snapshot.id)).toBe(0);
  }, 60_000);

  it('counts in the quota of its organization until its file is gone', async () => {
    const limit = (limits: Limits) => setQuota(cloud.database, 'demo', limits);
    const used = async (kind: string) => (await limit({}))!.find((line) => line.kind === kind)!.used;
    const vm = await vms.active({ name: 'counted', labels: ['counted'] });
    const [count, gib] = [await used('snapshots'), await used('snapshot_gib')];
    const { id } = await snapshots.taken(vm, 'counted-1');
    expect(await used('snapshots')).toBe(count + 1);
    expect(await used('snapshot_gib')).toBe(gib + 1);

    await limit({ snapshots: count + 1 });
    const one = await snapshots.ask(vm, 'counted-2');
    expect(refusal(one)).toEqual({ status: 403, reason: 'quota_exceeded' });
    expect(one.body.message).toContain(`of ${count + 1} snapshots, ${count + 1} are used and 1 more were asked for`);
    const { body: labelled } = await snapshots.send('POST', 'virtual-machines/demo/labels/counted/snapshots', { name: 'counted-3', description: '' });
    expect(labelled.instances).toMatchObject([{ accepted: false, message: one.body.message }]);
    expect((await snapshots.shown(id)).status).toBe('SUCCESS');
    expect((await vms.get(`/${vm.id}`)).body.instance.status).toBe('ACTIVE');
    await limit({ snapshots: null, snapshot_gib: gib + 1 });
    expect(refusal(await snapshots.ask(vm, 'counted-4'))).toEqual({ status: 403, reason: 'quota_exceeded' });

    await snapshots.send('DELETE', `snapshots/${id}`);
    await snapshots.gone(id);
    expect(await used('snapshots')).toBe(count);
    await snapshots.taken(vm, 'counted-5');
    await limit({ snapshot_gib: null });
  }, 30_000);

  it('is refused where its node has no room for the copy', async () => {
    const vm = await vms.active({ name: 'cramped' });
    await cloud.database.query(`UPDATE compute_node SET disk_gib_total = disk_gib_used WHERE name = 'node-1'`);
    const answer = await snapshots.ask(vm, 'cramped-1');
    await cloud.database.query(`UPDATE compute_node SET disk_gib_total = 2000 WHERE name = 'node-1'`);
    expect(refusal(answer)).toEqual({ status: 409, reason: 'no_capacity' });
    expect((await snapshots.send('GET', 'snapshots?search=cramped')).body.count).toBe(0);
  });
});

describe('while a snapshot is being taken', () => {
  it('nothing else may be asked of the VM, nor of the snapshot', async () => {
    const vm = await vms.active({ name: 'busy' });
    node.hypervisor.misbehaviours = { takeSnapshot: { kind: 'slow', ms: 3_000 } };
    const { body } = await snapshots.ask(vm, 'busy-1');
    expect((await vms.get(`/${vm.id}`)).body.instance).toMatchObject({ status: 'ACTIVE', is_snapshotting: true, allowed_actions: [] });
    const volume = (await snapshots.send('POST', 'volumes', { name: 'busy-volume', environment_name: 'demo', size: 1, volume_type: 'Cloud-SSD' })).body.volume;
    const answers = await Promise.all([
      snapshots.ask(vm, 'busy-2'),
      vms.get(`/${vm.id}/stop`),
      vms.get(`/${vm.id}/hard-reboot`),
      vms.get(`/${vm.id}/hibernate`),
      vms.delete(`/${vm.id}`),
      vms.send('POST', `/${vm.id}/resize`, { flavor_name: 'small-1' }),
      vms.send('POST', `/${vm.id}/attach-volumes`, { volume_ids: [volume.id] }),
      vms.send('POST', `/${vm.id}/attach-floatingip`, {}),
    ]);
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 400));
    expect(answers[1]!.body.message).toContain('A snapshot of busy is being taken');
    const { id } = body.snapshot;
    expect((await snapshots.send('DELETE', `snapshots/${id}`)).status).toBe(400);
    expect((await snapshots.send('POST', `snapshots/${id}/restore`, { new_vm_name: 'too-early' })).status).toBe(400);
    expect((await snapshots.send('POST', `snapshots/${id}/image`, { name: 'too-early' })).status).toBe(400);
    await snapshots.reaches(id, 'SUCCESS');
    expect((await vms.get(`/${vm.id}/stop`)).status).toBe(200);
    await snapshots.send('DELETE', `volumes/${volume.id}`);
  });

  it('of two requests at once one is granted', async () => {
    const vm = await vms.active({ name: 'raced' });
    node.hypervisor.misbehaviours = { takeSnapshot: { kind: 'slow', ms: 1_000 } };
    const answers = await Promise.all([1, 2, 3, 4].map((n) => snapshots.ask(vm, `raced-${n}`)));
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 400, 400, 400]);
    await snapshots.reaches(answers.find(({ status }) => status === 201)!.body.snapshot.id, 'SUCCESS');
  });

  it('a worker that dies in the middle leaves it to the next, and it is taken once', async () => {
    const vm = await vms.active({ name: 'survivor' });
    node.hypervisor.misbehaviours = { takeSnapshot: { kind: 'hanging' } };
    const { body } = await snapshots.ask(vm, 'survivor-1');
    await eventually(async () => {
      const [task] = await cloud.database.query(`SELECT state FROM task WHERE virtual_machine_id = $1 ORDER BY generation DESC LIMIT 1`, [vm.id]);
      expect(task.state).toBe('published');
    });
    const before = (await node.hypervisor.snapshots()).length;
    await node.stop();
    await node.start();
    await snapshots.reaches(body.snapshot.id, 'SUCCESS');
    expect(await node.hypervisor.snapshots()).toHaveLength(before + 1);
  }, 60_000);

  it('one that its node does not take in time is given up, and a copy that comes after all is removed', async () => {
    const vm = await vms.active({ name: 'late' });
    node.hypervisor.misbehaviours = { takeSnapshot: { kind: 'slow', ms: 9_000 } };
    const { body } = await snapshots.ask(vm, 'late-1');
    const { id } = body.snapshot;
    await cloud.database.query(`UPDATE snapshot SET deadline_at = now() WHERE id = $1`, [id]);
    const { fault } = await snapshots.reaches(id, 'ERROR');
    expect(fault).toContain('has not taken it within');
    expect((await vms.get(`/${vm.id}`)).body.instance).toMatchObject({ status: 'ACTIVE', is_snapshotting: false });
    const [{ uuid }] = await cloud.database.query('SELECT uuid FROM snapshot WHERE id = $1', [id]);
    await eventually(async () => expect(await node.hypervisor.snapshots()).toContain(uuid));
    await eventually(async () => expect(await node.hypervisor.snapshots()).not.toContain(uuid));
    expect(await snapshots.shown(id)).toMatchObject({ status: 'ERROR' });
    expect((await snapshots.send('DELETE', `snapshots/${id}`)).status).toBe(200);
    await snapshots.gone(id);
  }, 60_000);
});

describe('a snapshot that could not be taken', () => {
  it('is in ERROR with the reason, and its VM is none the worse', async () => {
    const vm = await vms.active({ name: 'unlucky' });
    const before = await diskUsed();
    node.hypervisor.misbehaviours = { takeSnapshot: { kind: 'failing' } };
    const { body } = await snapshots.ask(vm, 'unlucky-1');
    const { id } = body.snapshot;
    expect((await snapshots.reaches(id, 'ERROR')).fault).toContain('told to fail');
    expect((await vms.get(`/${vm.id}`)).body.instance).toMatchObject({ status: 'ACTIVE', is_snapshotting: false, fault: null });
    expect(await diskUsed()).toBe(before);
    expect((await snapshots.send('POST', `snapshots/${id}/restore`, { new_vm_name: 'of-nothing' })).status).toBe(400);
    const { snapshot_events: events } = (await snapshots.send('GET', `snapshots/${id}/events`)).body;
    expect(events.map(({ reason, type }: Json) => [reason, type])).toEqual([
      ['SnapshotCreateRequest', 'normal'],
      ['SnapshotCreateFailed', 'warning'],
    ]);
    await snapshots.send('DELETE', `snapshots/${id}`);
    await snapshots.gone(id);
  });
});

describe('snapshots by the name and by the label of VMs', () => {
  it('are taken of one VM by its name', async () => {
    await vms.active({ name: 'known' });
    const { status, body } = await snapshots.send('POST', 'virtual-machines/demo/known/snapshots', { name: 'by-name', description: '' });
    expect(status).toBe(201);
    await snapshots.reaches(body.snapshot.id, 'SUCCESS');
    expect((await snapshots.send('POST', 'virtual-machines/demo/unknown/snapshots', { name: 'x', description: '' })).status).toBe(404);
  });

  it('are taken of all with a label that can have one, and the others are told', async () => {
    await vms.active({ name: 'crew-a', labels: ['crew'] });
    await vms.active({ name: 'crew-b', labels: ['crew'] });
    const asleep = await vms.active({ name: 'crew-c', labels: ['crew'] });
    await vms.get(`/${asleep.id}/hibernate`);
    await vms.reaches(asleep.id, 'HIBERNATED');
    const { status, body } = await snapshots.send('POST', 'virtual-machines/demo/labels/crew/snapshots', { name: 'crewshot', description: '' });
    expect(status).toBe(200);
    expect(body.instances.map(({ name, accepted }: Json) => [name, accepted])).toEqual([
      ['crew-a', true],
      ['crew-b', true],
      ['crew-c', false],
    ]);
    const found: Json[] = (await snapshots.send('GET', 'snapshots?search=crewshot')).body.snapshots;
    expect(found.map(({ name }) => name)).toEqual(['crewshot-crew-a', 'crewshot-crew-b']);
    for (const { id } of found) await snapshots.reaches(id, 'SUCCESS');
    expect((await snapshots.send('POST', 'virtual-machines/nowhere/labels/crew/snapshots', { name: 'x', description: '' })).status).toBe(404);
  });
});

describe('the webhook of a VM', () => {
  it('tells of its snapshots, in the form that receivers of VMs know', async () => {
    const receiver = await WebhookReceiver.start();
    try {
      const vm = await vms.active({ name: 'loud', callback_url: receiver.url('/hook') });
      const { id } = await snapshots.taken(vm, 'loud-1');
      await snapshots.send('DELETE', `snapshots/${id}`);
      await snapshots.gone(id);
      await eventually(async () => {
        const told = receiver.requests.map(({ body }) => JSON.parse(body)).filter(({ snapshot }) => snapshot !== undefined);
        expect(told.map(({ operation }) => [operation.name, operation.status])).toEqual([
          ['createSnapshot', 'CREATING'],
          ['createSnapshot', 'SUCCESS'],
          ['deleteSnapshot', 'DELETING'],
          ['deleteSnapshot', 'DELETED'],
        ]);
        expect(told[0]).toMatchObject({ resource: { id: vm.id, name: 'loud' }, data: { status: 'ACTIVE', is_snapshotting: true }, snapshot: { id } });
        expect(told[1].data.is_snapshotting).toBe(false);
      });
    } finally {
      await receiver.stop();
    }
  });
});
