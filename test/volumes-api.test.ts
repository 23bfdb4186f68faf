/** Volumes: their life in the API, and with virtual machines on simulated nodes. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { fsck } from '../src/conductor/admin/fsck.js';
import { startCloud, type Answer, type Cloud, type Json } from './support/cloud.js';
import type { CloudNode } from './support/cloud-node.js';
import { eventually } from './support/eventually.js';
import { mismatches } from './support/infrahub-model.js';
import { VmClient } from './support/vm-client.js';

const CAPACITY = { cpus: 32, memoryMib: 131_072, diskGib: 500 };

let cloud: Cloud;
let vms: VmClient;
let node: CloudNode;

beforeAll(async () => {
  cloud = await startCloud({ capacity: CAPACITY });
  vms = new VmClient(cloud);
  node = cloud.nodes[0]!;
}, 30_000);

afterAll(async () => {
  expect(await fsck(cloud.database)).toEqual([]);
  await cloud.stop();
});

const asOther = (): Record<string, string> => ({ api_key: cloud.other.key });

const send = (method: string, path: string, body?: object, headers?: Record<string, string>): Promise<Answer> =>
  cloud.request(method, `/v1/core/${path}`, body, headers);

const payload = (name: string, change: object = {}): object => ({
  name,
  environment_name: 'demo',
  size: 10,
  volume_type: 'Cloud-SSD',
  ...change,
});

async function create(name: string, change: object = {}): Promise<Json> {
  const { status, body } = await send('POST', 'volumes', payload(name, change));
  expect({ status, message: body.message }).toEqual({ status: 200, message: 'Volume created successfully' });
  return body.volume;
}

const shown = async (id: number): Promise<Json> => (await send('GET', `volumes/${id}`)).body.volume;

const attach = (vm: { id: number }, ...volumes: { id: number }[]): Promise<Answer> =>
  send('POST', `virtual-machines/${vm.id}/attach-volumes`, { volume_ids: volumes.map(({ id }) => id), protected: false });

const detach = (vm: { id: number }, ...volumes: { id: number }[]): Promise<Answer> =>
  send('POST', `virtual-machines/${vm.id}/detach-volumes`, { volume_ids: volumes.map(({ id }) => id) });

const reaches = (id: number, status: string): Promise<Json> =>
  eventually(async () => {
    const volume = await shown(id);
    expect(volume?.status).toBe(status);
    return volume;
  });

const gone = (id: number): Promise<void> =>
  eventually(async () => expect((await send('GET', `volumes/${id}`)).status).toBe(404));

/** The UUIDs that the domain of a VM has on its node. */
async function onNode(vm: { id: number; uuid: string }): Promise<readonly string[] | undefined> {
  const [row] = await cloud.database.query<{ id: number }[]>(
    'SELECT id FROM incarnation WHERE virtual_machine_id = $1 AND ended_at IS NULL',
    [vm.id],
  );
  return node.hypervisor.volumesOf({ vmUuid: vm.uuid as never, incarnationId: row!.id as never });
}

const diskUsed = async (): Promise<number> =>
  (await cloud.database.query(`SELECT disk_gib_used FROM compute_node WHERE name = 'node-1'`))[0].disk_gib_used;

describe('a volume', () => {
  it('is available at once, and looks as the clients of Infrahub expect', async () => {
    const { body } = await send('POST', 'volumes', payload('first', { description: 'of many', callback_url: '', image_id: null }));
    expect(mismatches('Volume', body, ['callback_url'])).toEqual([]);
    expect(body.volume).toMatchObject({ name: 'first', status: 'available', size: 10, description: 'of many', attachments: [] });
    const list = await send('GET', 'volumes');
    expect(mismatches('Volumes', list.body, ['callback_url', 'page', 'page_size'])).toEqual([]);
    expect(mismatches('Volume', (await send('GET', `volumes/${body.volume.id}`)).body, ['callback_url'])).toEqual([]);
    expect(mismatches('VolumeTypes', (await send('GET', 'volume-types')).body)).toEqual([]);
    expect((await send('GET', 'volume-types')).body.volume_types).toEqual(['Cloud-SSD']);
  });

  it('is listed by part of its name, by its environment, and by page', async () => {
    for (const name of ['needle-1', 'needle-2']) await create(name);
    const names = async (query: string): Promise<string[]> =>
      (await send('GET', `volumes?${query}`)).body.volumes.map((volume: { name: string }) => volume.name);
    expect(await names('search=NEEDLE')).toEqual(['needle-1', 'needle-2']);
    expect(await names('search=needle&page=2&pageSize=1')).toEqual(['needle-2']);
    expect(await names('search=needle&environment=demo')).toHaveLength(2);
    expect(await names('environment=nowhere')).toEqual([]);
    expect((await send('GET', 'volumes?search=needle&page=1&pageSize=1')).body).toMatchObject({ count: 2, page: 1, page_size: 1 });
  });

  it('has a name of its own in its environment', async () => {
    await create('only-one');
    const second = await send('POST', 'volumes', payload('only-one'));
    expect({ status: second.status, reason: second.body.error_reason }).toEqual({ status: 409, reason: 'already_exist' });
    expect((await send('GET', 'volume/name-availability/only-one')).body).toMatchObject({ name: 'only-one', available: false });
    expect((await send('GET', 'volume/name-availability/another')).body).toMatchObject({ available: true });
  });

  it.each([
    ['no size', { size: undefined }, 'size is required'],
    ['a size of nothing', { size: 0 }, 'size must not be less than 1'],
    ['a size in pieces', { size: 1.5 }, 'size must be an integer'],
    ['an unknown type', { volume_type: 'Punched-Cards' }, 'volume_type must be one of'],
    ['an image', { image_id: 7 }, 'bootable volumes are not offered yet'],
    ['a webhook', { callback_url: 'https://example.org' }, 'webhooks of volumes are not offered yet'],
    ['a field too many', { colour: 'red' }, 'colour is not a known field'],
  ])('is refused with %s', async (_what, change, words) => {
    const { status, body } = await send('POST', 'volumes', payload('refused', change));
    expect(status).toBe(400);
    expect(body.message).toContain(words);
  });

  it('is refused in an environment that is not there', async () => {
    expect((await send('POST', 'volumes', payload('lost', { environment_name: 'other' }))).status).toBe(404);
  });

  it('moves to another environment of its region, by PATCH and by PUT', async () => {
    const volume = await create('mover');
    await send('POST', 'environments', { name: 'second-home', region: 'default-1' });
    const moved = await send('PATCH', `volumes/${volume.id}`, { environment_name: 'second-home' });
    expect(mismatches('UpdateVolumeResponse', moved.body, ['callback_url'])).toEqual([]);
    expect(moved.body.volume.environment.name).toBe('second-home');
    const back = await send('PUT', `volumes/${volume.id}`, { environment_name: 'demo' });
    expect(back.body).toMatchObject({ status: true });
    expect(back.body.volume.environment.name).toBe('demo');
    expect((await send('PATCH', `volumes/${volume.id}`, { environment_name: 'nowhere' })).status).toBe(404);
  });

  it('keeps its environment from being deleted', async () => {
    const { body } = await send('POST', 'environments', { name: 'not-empty', region: 'default-1' });
    const volume = await create('tenant', { environment_name: 'not-empty' });
    const refused = await send('DELETE', `environments/${body.environment.id}`);
    expect(refused.status).toBe(405);
    expect(refused.body.message).toContain('volumes: 1');
    await send('DELETE', `volumes/${volume.id}`);
    expect((await send('DELETE', `environments/${body.environment.id}`)).status).toBe(200);
  });

  it('that was never attached is gone as soon as it is deleted, and its name is free', async () => {
    const volume = await create('short-lived');
    expect((await send('DELETE', `volumes/${volume.id}`)).status).toBe(200);
    expect((await send('GET', `volumes/${volume.id}`)).status).toBe(404);
    await create('short-lived');
  });

  it('of another organization is as good as missing', async () => {
    const volume = await create('private');
    const vm = await vms.active({ name: 'not-yours' });
    const attempts: [string, string, object?][] = [
      ['GET', `volumes/${volume.id}`],
      ['PATCH', `volumes/${volume.id}`, { environment_name: 'other' }],
      ['DELETE', `volumes/${volume.id}`],
      ['POST', `virtual-machines/${vm.id}/attach-volumes`, { volume_ids: [volume.id] }],
      ['POST', `virtual-machines/${vm.id}/detach-volumes`, { volume_ids: [volume.id] }],
    ];
    for (const [method, path, body] of attempts) expect((await send(method, path, body, asOther())).status).toBe(404);
    expect((await send('GET', 'volumes', undefined, asOther())).body.volumes).toEqual([]);
    const theirs = await new VmClient(cloud, cloud.other).active({ name: 'theirs' });
    const stolen = await send('POST', `virtual-machines/${theirs.id}/attach-volumes`, { volume_ids: [volume.id] }, asOther());
    expect(stolen.status).toBe(404);
    expect(await shown(volume.id)).toMatchObject({ status: 'available', environment: { name: 'demo' } });
  });
});

describe('a volume with a virtual machine', () => {
  it('is attached while the VM runs, claimed on its node, detached, and deleted there', async () => {
    const vm = await vms.active({ name: 'holder' });
    const volume = await create('data');
    const before = await diskUsed();
    const { body } = await attach(vm, volume);
    expect(mismatches('AttachVolumes', body)).toEqual([]);
    const [{ uuid }] = await cloud.database.query('SELECT uuid FROM volume WHERE id = $1', [volume.id]);
    const device = `/dev/disk/by-id/virtio-${uuid.slice(0, 20)}`;
    expect(body.volume_attachments).toMatchObject([{ instance_id: vm.id, volume_id: volume.id, status: 'ATTACHING', device }]);

    const inUse = await reaches(volume.id, 'in-use');
    expect(inUse.attachments).toEqual([
      { id: body.volume_attachments[0].id, instance_id: vm.id, device, protected: false, status: 'ATTACHED' },
    ]);
    const { instance } = (await vms.get(`/${vm.id}`)).body;
    expect(instance).toMatchObject({ status: 'ACTIVE', volume_attachments: [{ device, status: 'ATTACHED' }] });
    expect(mismatches('VolumeAttachmentFields', instance.volume_attachments[0])).toEqual([]);
    expect(instance.volume_attachments[0].volume).toMatchObject({ id: volume.id, name: 'data', size: 10 });
    expect(await onNode(vm)).toEqual([uuid]);
    expect(await diskUsed()).toBe(before + 10);

    expect(mismatches('DetachVolumes', (await detach(vm, volume)).body)).toEqual([]);
    expect((await reaches(volume.id, 'available')).attachments).toMatchObject([{ status: 'DETACHED' }]);
    expect(await onNode(vm)).toEqual([]);
    expect(await diskUsed()).toBe(before + 10);
    expect((await vms.get(`/${vm.id}`)).body.instance.volume_attachments).toEqual([]);

    expect((await send('DELETE', `volumes/${volume.id}`)).status).toBe(200);
    await gone(volume.id);
    expect(await diskUsed()).toBe(before);
    const reasons = (await vms.get(`/${vm.id}/events`)).body.instance_events.map((event: { reason: string }) => event.reason);
    expect(reasons.slice(-4)).toEqual([
      'AttachVolumeToInstanceRequest',
      'AttachVolumeToInstanceSuccess',
      'DetachVolumeFromInstanceRequest',
      'DetachVolumeToInstanceSuccess',
    ]);
  });

  it('that is off is attached without starting it, and is still there when it is started', async () => {
    const vm = await vms.active({ name: 'sleeper' });
    await vms.get(`/${vm.id}/stop`);
    await vms.reaches(vm.id, 'SHUTOFF');
    const volume = await create('for-later');
    await attach(vm, volume);
    await reaches(volume.id, 'in-use');
    expect((await vms.get(`/${vm.id}`)).body.instance.status).toBe('SHUTOFF');
    await vms.get(`/${vm.id}/start`);
    await vms.reaches(vm.id, 'ACTIVE');
    expect(await onNode(vm)).toHaveLength(1);
  });

  it('that switched itself off stays off', async () => {
    const vm = await vms.active({ name: 'self-off' });
    const [{ id }] = await cloud.database.query('SELECT id FROM incarnation WHERE virtual_machine_id = $1', [vm.id]);
    await node.hypervisor.guestPowersOff({ vmUuid: vm.uuid, incarnationId: id });
    await vms.reaches(vm.id, 'SHUTOFF');
    const volume = await create('for-self-off');
    await attach(vm, volume);
    await reaches(volume.id, 'in-use');
    expect((await vms.get(`/${vm.id}`)).body.instance).toMatchObject({ status: 'SHUTOFF', power_state: 'SHUTDOWN' });
  });

  it('outlives the VM, with what is on it, and goes to another one', async () => {
    const first = await vms.active({ name: 'first-owner' });
    const second = await vms.active({ name: 'second-owner' });
    const volume = await create('heirloom');
    await attach(first, volume);
    await reaches(volume.id, 'in-use');
    await vms.delete(`/${first.id}`);
    await vms.gone(first.id);
    expect(await shown(volume.id)).toMatchObject({ status: 'available', attachments: [{ status: 'DETACHED' }] });
    await attach(second, volume);
    expect((await reaches(volume.id, 'in-use')).attachments.map(({ status }: { status: string }) => status)).toEqual(['DETACHED', 'ATTACHED']);
  });

  it('is refused where it cannot be, in words that say why', async () => {
    const vm = await vms.active({ name: 'picky' });
    const another = await vms.active({ name: 'another' });
    const taken = await create('taken');
    await attach(another, taken);
    await reaches(taken.id, 'in-use');
    const free = await create('free');
    await send('POST', 'environments', { name: 'elsewhere', region: 'default-1' });
    const elsewhere = await create('far', { environment_name: 'elsewhere' });

    const refusals: [Promise<Answer>, number, string][] = [
      [attach(vm, taken), 400, 'There are already attached Volumes'],
      [attach(vm, free, taken), 400, 'There are already attached Volumes'],
      [attach(vm, elsewhere), 400, "in the environment 'elsewhere'"],
      [detach(vm, free), 400, "'free' is not attached to picky"],
      [send('DELETE', `volumes/${taken.id}`), 400, 'it can be deleted when it is detached'],
      [send('PATCH', `volumes/${taken.id}`, { environment_name: 'elsewhere' }), 400, 'it can be moved when it is detached'],
      [attach(vm, { id: 999_999 }), 404, 'was not found'],
      [attach({ id: 999_999 }, free), 404, 'The virtual machine was not found'],
      [attach(vm), 400, 'volume_ids'],
    ];
    for (const [answer, status, words] of refusals) {
      const { body, ...rest } = await answer;
      expect({ status: rest.status, message: body.message }).toEqual({ status, message: expect.stringContaining(words) });
    }
    expect(await shown(free.id)).toMatchObject({ status: 'available', attachments: [] });
  });

  it('is refused while the VM is on its way', async () => {
    const vm = await vms.active({ name: 'leaving' });
    const volume = await create('too-late');
    node.hypervisor.misbehaviours = { remove: { kind: 'slow', ms: 500 } };
    await vms.delete(`/${vm.id}`);
    const refused = await attach(vm, volume);
    expect({ status: refused.status, message: refused.body.message }).toMatchObject({
      status: 400,
      message: 'leaving is DELETING; this is possible when it is ACTIVE or SHUTOFF.',
    });
    node.hypervisor.misbehaviours = {};
    await vms.gone(vm.id);
  });

  it('finds at most ten places', async () => {
    const vm = await vms.active({ name: 'collector' });
    const volumes: Json[] = [];
    for (let n = 0; n < 11; n++) volumes.push(await create(`piece-${n}`, { size: 1 }));
    expect((await attach(vm, ...volumes)).status).toBe(400);
    expect((await attach(vm, ...volumes.slice(0, 10))).status).toBe(200);
    for (const { id } of volumes.slice(0, 10)) await reaches(id, 'in-use');
    const refused = await attach(vm, volumes[10]);
    expect(refused.body.message).toContain('at most 10');
  });

  it('needs room on the node, and leaves nothing where there is none', async () => {
    const vm = await vms.active({ name: 'greedy' });
    const before = await diskUsed();
    const huge = await create('huge', { size: 1_048_576 });
    const small = await create('small');
    const refused = await attach(vm, small, huge);
    expect({ status: refused.status, reason: refused.body.error_reason }).toEqual({ status: 409, reason: 'no_capacity' });
    expect(await diskUsed()).toBe(before);
    expect(await shown(small.id)).toMatchObject({ status: 'available', attachments: [] });
  });

  it('that is protected is detached only when it no longer is', async () => {
    const vm = await vms.active({ name: 'guarded' });
    const volume = await create('precious');
    const { body } = await send('POST', `virtual-machines/${vm.id}/attach-volumes`, { volume_ids: [volume.id], protected: true });
    const [{ id }] = body.volume_attachments;
    await reaches(volume.id, 'in-use');
    expect((await detach(vm, volume)).body.message).toContain('is protected');
    expect((await send('PATCH', `volume-attachments/${id}`, { protected: false }, asOther())).status).toBe(404);
    const released = await send('PATCH', `volume-attachments/${id}`, { protected: false });
    expect(mismatches('AttachVolumes', released.body)).toEqual([]);
    expect(released.body.attachment).toEqual(released.body.volume_attachments[0]);
    expect((await detach(vm, volume)).status).toBe(200);
    await reaches(volume.id, 'available');
  });

  it('is won by one of two that want it at the same time', async () => {
    const rivals = [await vms.active({ name: 'rival-1' }), await vms.active({ name: 'rival-2' })];
    const volume = await create('contested');
    const answers = await Promise.all([...rivals, ...rivals].map((vm) => attach(vm, volume)));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 400, 400, 400]);
    expect((await reaches(volume.id, 'in-use')).attachments).toHaveLength(1);
    const held = (await Promise.all(rivals.map(onNode))).flat();
    expect(held).toHaveLength(1);
  });

  it('is won by one where two want the last room on a node', async () => {
    const rivals = [await vms.active({ name: 'roomy-1' }), await vms.active({ name: 'roomy-2' })];
    const [{ free }] = await cloud.database.query('SELECT disk_gib_total - disk_gib_used AS free FROM compute_node');
    const volumes = [await create('half-1', { size: Math.floor(free / 2) + 1 }), await create('half-2', { size: Math.floor(free / 2) + 1 })];
    const answers = await Promise.all(rivals.map((vm, index) => attach(vm, volumes[index])));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409]);
    const winner = answers.findIndex(({ status }) => status === 200);
    await reaches(volumes[winner].id, 'in-use');
    await detach(rivals[winner]!, volumes[winner]);
    await reaches(volumes[winner].id, 'available');
    await send('DELETE', `volumes/${volumes[winner].id}`);
    await gone(volumes[winner].id);
  });

  it('is either attached or deleted when both are asked for at the same time', async () => {
    const vm = await vms.active({ name: 'hesitant' });
    for (let round = 0; round < 5; round++) {
      const volume = await create(`doomed-${round}`, { size: 1 });
      const [attached, deleted] = await Promise.all([attach(vm, volume), send('DELETE', `volumes/${volume.id}`)]);
      expect([attached.status === 200, deleted.status === 200].filter(Boolean)).toHaveLength(1);
      if (attached.status !== 200) continue;
      await reaches(volume.id, 'in-use');
      await detach(vm, volume);
      await reaches(volume.id, 'available');
    }
  });

  it('stays detaching while the worker is dead, until it says that the guest has let go', async () => {
    const vm = await vms.active({ name: 'clingy' });
    const volume = await create('stuck');
    await attach(vm, volume);
    await reaches(volume.id, 'in-use');
    await node.stop();
    await detach(vm, volume);
    expect(await shown(volume.id)).toMatchObject({ status: 'detaching', attachments: [{ status: 'DETACHING' }] });
    expect((await send('DELETE', `volumes/${volume.id}`)).status).toBe(400);
    await node.start();
    await reaches(volume.id, 'available');
    expect(await onNode(vm)).toEqual([]);
  });

  it('that cannot be attached leaves the VM in ERROR with the reason, and detaching it is the way out', async () => {
    const vm = await vms.active({ name: 'unlucky' });
    const volume = await create('cursed');
    node.hypervisor.misbehaviours = { setVolumes: { kind: 'failing' } };
    await attach(vm, volume);
    const failed = await vms.reaches(vm.id, 'ERROR');
    expect(failed.fault).toContain('setVolumes');
    expect((await shown(volume.id)).status).toBe('attaching');
    node.hypervisor.misbehaviours = {};
    expect((await detach(vm, volume)).status).toBe(200);
    await reaches(volume.id, 'available');
    await vms.reaches(vm.id, 'ACTIVE');
  });

  it('whose file cannot be removed just now stays deleting, and goes when it can', async () => {
    const vm = await vms.active({ name: 'letting-go' });
    const volume = await create('sticky');
    await attach(vm, volume);
    await reaches(volume.id, 'in-use');
    await detach(vm, volume);
    await reaches(volume.id, 'available');
    const used = await diskUsed();
    node.hypervisor.misbehaviours = { removeVolume: { kind: 'rejecting', times: 2 } };
    await send('DELETE', `volumes/${volume.id}`);
    expect((await shown(volume.id)).status).toBe('deleting');
    expect(await diskUsed()).toBe(used);
    expect((await attach(vm, volume)).status).toBe(400);
    expect((await send('DELETE', `volumes/${volume.id}`)).status).toBe(200);
    await gone(volume.id);
    node.hypervisor.misbehaviours = {};
    expect(await diskUsed()).toBe(used - 10);
  });

  it('that nobody is asked to bring to its VM any more is found by fsck, and put right', async () => {
    const vm = await vms.active({ name: 'forgotten' });
    const volume = await create('orphan');
    await attach(vm, volume);
    await reaches(volume.id, 'in-use');
    await cloud.database.query(`UPDATE volume_attachment SET status = 'ATTACHING' WHERE volume_id = $1`, [volume.id]);
    await cloud.database.query(`UPDATE compute_node SET disk_gib_used = disk_gib_used + 1 WHERE name = 'node-1'`);
    const found = await fsck(cloud.database, { repair: true });
    expect(found.map(({ invariant, repaired }) => ({ invariant, repaired }))).toEqual(
      expect.arrayContaining([
        { invariant: 'attachment-on-its-way-has-a-task', repaired: true },
        { invariant: 'claims-add-up', repaired: true },
      ]),
    );
    await reaches(volume.id, 'in-use');
    expect(await fsck(cloud.database)).toEqual([]);
  });

  it('stays on its node: a VM on another one is told why it cannot have it', async () => {
    const here = await vms.active({ name: 'here' });
    const volume = await create('rooted');
    await attach(here, volume);
    await reaches(volume.id, 'in-use');
    await detach(here, volume);
    await reaches(volume.id, 'available');
    await cloud.addNode('node-2');
    await cloud.database.query(`UPDATE compute_node SET draining = true WHERE name = 'node-1'`);
    const there = await vms.active({ name: 'there' });
    const refused = await attach(there, volume);
    await cloud.database.query('UPDATE compute_node SET draining = false');
    expect(refused.status).toBe(400);
    expect(refused.body.message).toContain('on the node node-1, where it was first attached, and there runs on node-2');
  });
});
