/** Volumes with virtual machines on simulated nodes: attached, detached, fought for, and lost sight of. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { fsck } from '../src/conductor/admin/fsck.js';
import { startCloud, type Answer, type Cloud, type Json } from './support/cloud.js';
import type { CloudNode } from './support/cloud-node.js';
import { eventually } from './support/eventually.js';
import { mismatches } from './support/infrahub-model.js';
import { VmClient } from './support/vm-client.js';
import { VolumeClient } from './support/volume-client.js';

const CAPACITY = { cpus: 32, memoryMib: 131_072, diskGib: 500 };

let cloud: Cloud;
let vms: VmClient;
let volumes: VolumeClient;
let node: CloudNode;

beforeAll(async () => {
  cloud = await startCloud({ capacity: CAPACITY });
  vms = new VmClient(cloud);
  volumes = new VolumeClient(cloud);
  node = cloud.nodes[0]!;
}, 30_000);

afterAll(async () => {
  expect(await fsck(cloud.database)).toEqual([]);
  await cloud.stop();
});

const asOther = (): Record<string, string> => ({ api_key: cloud.other.key });

describe('a volume with a virtual machine', () => {
  it('is attached while the VM runs, claimed on its node, detached, and deleted there', async () => {
    const vm = await vms.active({ name: 'holder' });
    const volume = await volumes.create('data');
    const before = await volumes.diskUsed();
    const { body } = await volumes.attach(vm, volume);
    expect(mismatches('AttachVolumes', body)).toEqual([]);
    const [{ uuid }] = await cloud.database.query('SELECT uuid FROM volume WHERE id = $1', [volume.id]);
    const device = `/dev/disk/by-id/virtio-${uuid.slice(0, 20)}`;
    expect(body.volume_attachments).toMatchObject([{ instance_id: vm.id, volume_id: volume.id, status: 'ATTACHING', device }]);

    const inUse = await volumes.reaches(volume.id, 'in-use');
    expect(inUse.attachments).toEqual([
      { id: body.volume_attachments[0].id, instance_id: vm.id, device, protected: false, status: 'ATTACHED' },
    ]);
    const { instance } = (await vms.get(`/${vm.id}`)).body;
    expect(instance).toMatchObject({ status: 'ACTIVE', volume_attachments: [{ device, status: 'ATTACHED' }] });
    expect(mismatches('VolumeAttachmentFields', instance.volume_attachments[0])).toEqual([]);
    expect(instance.volume_attachments[0].volume).toMatchObject({ id: volume.id, name: 'data', size: 10 });
    expect(await volumes.onNode(vm)).toEqual([uuid]);
    expect(await volumes.diskUsed()).toBe(before + 10);

    expect(mismatches('DetachVolumes', (await volumes.detach(vm, volume)).body)).toEqual([]);
    expect((await volumes.reaches(volume.id, 'available')).attachments).toMatchObject([{ status: 'DETACHED' }]);
    expect(await volumes.onNode(vm)).toEqual([]);
    expect(await volumes.diskUsed()).toBe(before + 10);
    expect((await vms.get(`/${vm.id}`)).body.instance.volume_attachments).toEqual([]);

    expect((await volumes.send('DELETE', `volumes/${volume.id}`)).status).toBe(200);
    await volumes.gone(volume.id);
    expect(await volumes.diskUsed()).toBe(before);
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
    const volume = await volumes.create('for-later');
    await volumes.attach(vm, volume);
    await volumes.reaches(volume.id, 'in-use');
    expect((await vms.get(`/${vm.id}`)).body.instance.status).toBe('SHUTOFF');
    await vms.get(`/${vm.id}/start`);
    await vms.reaches(vm.id, 'ACTIVE');
    expect(await volumes.onNode(vm)).toHaveLength(1);
  });

  it('that switched itself off stays off', async () => {
    const vm = await vms.active({ name: 'self-off' });
    const [{ id }] = await cloud.database.query('SELECT id FROM incarnation WHERE virtual_machine_id = $1', [vm.id]);
    await node.hypervisor.guestPowersOff({ vmUuid: vm.uuid, incarnationId: id });
    await vms.reaches(vm.id, 'SHUTOFF');
    const volume = await volumes.create('for-self-off');
    await volumes.attach(vm, volume);
    await volumes.reaches(volume.id, 'in-use');
    expect((await vms.get(`/${vm.id}`)).body.instance).toMatchObject({ status: 'SHUTOFF', power_state: 'SHUTDOWN' });
  });

  it('outlives the VM, with what is on it, and goes to another one', async () => {
    const first = await vms.active({ name: 'first-owner' });
    const second = await vms.active({ name: 'second-owner' });
    const volume = await volumes.create('heirloom');
    await volumes.attach(first, volume);
    await volumes.reaches(volume.id, 'in-use');
    await vms.delete(`/${first.id}`);
    await vms.gone(first.id);
    expect(await volumes.shown(volume.id)).toMatchObject({ status: 'available', attachments: [{ status: 'DETACHED' }] });
    await volumes.attach(second, volume);
    expect((await volumes.reaches(volume.id, 'in-use')).attachments.map(({ status }: { status: string }) => status)).toEqual(['DETACHED', 'ATTACHED']);
  });

  it('that was with a VM once is made on its node no more: its worker is told that the file must be there', async () => {
    const { hypervisor } = node;
    const setVolumes = hypervisor.setVolumes.bind(hypervisor);
    const asked: (true | undefined)[] = [];
    hypervisor.setVolumes = (identity, specs, root) => {
      asked.push(...specs.map(({ isMade }) => isMade));
      return setVolumes(identity, specs, root);
    };
    const [first, second] = [await vms.active({ name: 'maker' }), await vms.active({ name: 'finder' })];
    const volume = await volumes.create('once');
    await volumes.attach(first, volume);
    await volumes.reaches(volume.id, 'in-use');
    expect(asked).toEqual([undefined]);
    await volumes.detach(first, volume);
    await volumes.reaches(volume.id, 'available');
    await volumes.attach(second, volume);
    await volumes.reaches(volume.id, 'in-use');
    expect(asked).toEqual([undefined, true]);
    hypervisor.setVolumes = setVolumes;
  });

  it('is refused where it cannot be, in words that say why', async () => {
    const vm = await vms.active({ name: 'picky' });
    const another = await vms.active({ name: 'another' });
    const taken = await volumes.create('taken');
    await volumes.attach(another, taken);
    await volumes.reaches(taken.id, 'in-use');
    const free = await volumes.create('free');
    await volumes.send('POST', 'environments', { name: 'elsewhere', region: 'default-1' });
    const elsewhere = await volumes.create('far', { environment_name: 'elsewhere' });

    const refusals: [Promise<Answer>, number, string][] = [
      [volumes.attach(vm, taken), 400, 'There are already attached Volumes'],
      [volumes.attach(vm, free, taken), 400, 'There are already attached Volumes'],
      [volumes.attach(vm, elsewhere), 400, "in the environment 'elsewhere'"],
      [volumes.detach(vm, free), 400, "'free' is not attached to picky"],
      [volumes.send('DELETE', `volumes/${taken.id}`), 400, 'it can be deleted when it is detached'],
      [volumes.send('PATCH', `volumes/${taken.id}`, { environment_name: 'elsewhere' }), 400, 'it can be moved when it is detached'],
      [volumes.attach(vm, { id: 999_999 }), 404, 'was not found'],
      [volumes.attach({ id: 999_999 }, free), 404, 'The virtual machine was not found'],
      [volumes.attach(vm), 400, 'volume_ids'],
    ];
    for (const [answer, status, words] of refusals) {
      const { body, ...rest } = await answer;
      expect({ status: rest.status, message: body.message }).toEqual({ status, message: expect.stringContaining(words) });
    }
    expect(await volumes.shown(free.id)).toMatchObject({ status: 'available', attachments: [] });
  });

  it('is refused while the VM is on its way', async () => {
    const vm = await vms.active({ name: 'leaving' });
    const volume = await volumes.create('too-late');
    node.hypervisor.misbehaviours = { remove: { kind: 'slow', ms: 500 } };
    await vms.delete(`/${vm.id}`);
    const refused = await volumes.attach(vm, volume);
    expect({ status: refused.status, message: refused.body.message }).toMatchObject({
      status: 400,
      message: 'leaving is DELETING; this is possible when it is ACTIVE or SHUTOFF.',
    });
    node.hypervisor.misbehaviours = {};
    await vms.gone(vm.id);
  });

  it('finds at most ten places', async () => {
    const vm = await vms.active({ name: 'collector' });
    const pieces: Json[] = [];
    for (let n = 0; n < 11; n++) pieces.push(await volumes.create(`piece-${n}`, { size: 1 }));
    expect((await volumes.attach(vm, ...pieces)).status).toBe(400);
    expect((await volumes.attach(vm, ...pieces.slice(0, 10))).status).toBe(200);
    for (const { id } of pieces.slice(0, 10)) await volumes.reaches(id, 'in-use');
    const refused = await volumes.attach(vm, pieces[10]);
    expect(refused.body.message).toContain('at most 10');
  });

  it('needs room on the node, and leaves nothing where there is none', async () => {
    const vm = await vms.active({ name: 'greedy' });
    const before = await volumes.diskUsed();
    const huge = await volumes.create('huge', { size: 1_048_576 });
    const small = await volumes.create('small');
    const refused = await volumes.attach(vm, small, huge);
    expect({ status: refused.status, reason: refused.body.error_reason }).toEqual({ status: 409, reason: 'no_capacity' });
    expect(await volumes.diskUsed()).toBe(before);
    expect(await volumes.shown(small.id)).toMatchObject({ status: 'available', attachments: [] });
  });

  it('that is protected is detached only when it no longer is', async () => {
    const vm = await vms.active({ name: 'guarded' });
    const volume = await volumes.create('precious');
    const { body } = await volumes.send('POST', `virtual-machines/${vm.id}/attach-volumes`, { volume_ids: [volume.id], protected: true });
    const [{ id }] = body.volume_attachments;
    await volumes.reaches(volume.id, 'in-use');
    expect((await volumes.detach(vm, volume)).body.message).toContain('is protected');
    expect((await volumes.send('PATCH', `volume-attachments/${id}`, { protected: false }, asOther())).status).toBe(404);
    const released = await volumes.send('PATCH', `volume-attachments/${id}`, { protected: false });
    expect(mismatches('AttachVolumes', released.body)).toEqual([]);
    expect(released.body.attachment).toEqual(released.body.volume_attachments[0]);
    expect((await volumes.detach(vm, volume)).status).toBe(200);
    await volumes.reaches(volume.id, 'available');
  });

  it('is won by one of two that want it at the same time', async () => {
    const rivals = [await vms.active({ name: 'rival-1' }), await vms.active({ name: 'rival-2' })];
    const volume = await volumes.create('contested');
    const answers = await Promise.all([...rivals, ...rivals].map((vm) => volumes.attach(vm, volume)));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 400, 400, 400]);
    expect((await volumes.reaches(volume.id, 'in-use')).attachments).toHaveLength(1);
    const held = (await Promise.all(rivals.map((vm) => volumes.onNode(vm)))).flat();
    expect(held).toHaveLength(1);
  });

  it('is won by one where two want the last room on a node', async () => {
    const rivals = [await vms.active({ name: 'roomy-1' }), await vms.active({ name: 'roomy-2' })];
    const [{ free }] = await cloud.database.query('SELECT disk_gib_total - disk_gib_used AS free FROM compute_node');
    const halves = [await volumes.create('half-1', { size: Math.floor(free / 2) + 1 }), await volumes.create('half-2', { size: Math.floor(free / 2) + 1 })];
    const answers = await Promise.all(rivals.map((vm, index) => volumes.attach(vm, halves[index])));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409]);
    const winner = answers.findIndex(({ status }) => status === 200);
    await volumes.reaches(halves[winner].id, 'in-use');
    await volumes.detach(rivals[winner]!, halves[winner]);
    await volumes.reaches(halves[winner].id, 'available');
    await volumes.send('DELETE', `volumes/${halves[winner].id}`);
    await volumes.gone(halves[winner].id);
  });

  it('is either attached or deleted when both are asked for at the same time', async () => {
    const vm = await vms.active({ name: 'hesitant' });
    for (let round = 0; round < 5; round++) {
      const volume = await volumes.create(`doomed-${round}`, { size: 1 });
      const [attached, deleted] = await Promise.all([volumes.attach(vm, volume), volumes.send('DELETE', `volumes/${volume.id}`)]);
      expect([attached.status === 200, deleted.status === 200].filter(Boolean)).toHaveLength(1);
      if (attached.status !== 200) continue;
      await volumes.reaches(volume.id, 'in-use');
      await volumes.detach(vm, volume);
      await volumes.reaches(volume.id, 'available');
    }
  });

  it('stays detaching while the worker is dead, until it says that the guest has let go', async () => {
    const vm = await vms.active({ name: 'clingy' });
    const volume = await volumes.create('stuck');
    await volumes.attach(vm, volume);
    await volumes.reaches(volume.id, 'in-use');
    await node.stop();
    await volumes.detach(vm, volume);
    expect(await volumes.shown(volume.id)).toMatchObject({ status: 'detaching', attachments: [{ status: 'DETACHING' }] });
    expect((await volumes.send('DELETE', `volumes/${volume.id}`)).status).toBe(400);
    await node.start();
    await volumes.reaches(volume.id, 'available');
    expect(await volumes.onNode(vm)).toEqual([]);
  });

  it('stays detaching when the worker dies in the middle of it, and nobody else can have it meanwhile', async () => {
    const vm = await vms.active({ name: 'interrupted' });
    const heir = await vms.active({ name: 'heir' });
    const volume = await volumes.create('half-way');
    await volumes.attach(vm, volume);
    await volumes.reaches(volume.id, 'in-use');
    // Taken up by the worker, and never finished: the guest may still write to it.
    node.hypervisor.misbehaviours = { setVolumes: { kind: 'hanging' } };
    await volumes.detach(vm, volume);
    await eventually(async () => {
      const [task] = await cloud.database.query(`SELECT state FROM task WHERE virtual_machine_id = $1 ORDER BY generation DESC LIMIT 1`, [vm.id]);
      expect(task.state).toBe('published');
    });
    await node.stop();
    expect(await volumes.shown(volume.id)).toMatchObject({ status: 'detaching', attachments: [{ status: 'DETACHING' }] });
    expect((await volumes.attach(heir, volume)).status).toBe(400);
    expect((await volumes.delete(volume.id)).status).toBe(400);
    await node.start();
    await volumes.reaches(volume.id, 'available');
    expect((await volumes.attach(heir, volume)).status).toBe(200);
    await volumes.reaches(volume.id, 'in-use');
  }, 60_000);

  it('that cannot be attached leaves the VM in ERROR with the reason, and detaching it is the way out', async () => {
    const vm = await vms.active({ name: 'unlucky' });
    const volume = await volumes.create('cursed');
    node.hypervisor.misbehaviours = { setVolumes: { kind: 'failing' } };
    await volumes.attach(vm, volume);
    const failed = await vms.reaches(vm.id, 'ERROR');
    expect(failed.fault).toContain('setVolumes');
    expect((await volumes.shown(volume.id)).status).toBe('attaching');
    node.hypervisor.misbehaviours = {};
    expect((await volumes.detach(vm, volume)).status).toBe(200);
    await volumes.reaches(volume.id, 'available');
    await vms.reaches(vm.id, 'ACTIVE');
  });

  it('whose file cannot be removed just now stays deleting, and goes when it can', async () => {
    const vm = await vms.active({ name: 'letting-go' });
    const volume = await volumes.create('sticky');
    await volumes.attach(vm, volume);
    await volumes.reaches(volume.id, 'in-use');
    await volumes.detach(vm, volume);
    await volumes.reaches(volume.id, 'available');
    const used = await volumes.diskUsed();
    node.hypervisor.misbehaviours = { removeVolume: { kind: 'rejecting', times: 2 } };
    await volumes.send('DELETE', `volumes/${volume.id}`);
    expect((await volumes.shown(volume.id)).status).toBe('deleting');
    expect(await volumes.diskUsed()).toBe(used);
    expect((await volumes.attach(vm, volume)).status).toBe(400);
    expect((await volumes.send('DELETE', `volumes/${volume.id}`)).status).toBe(200);
    await volumes.gone(volume.id);
    node.hypervisor.misbehaviours = {};
    expect(await volumes.diskUsed()).toBe(used - 10);
  });

  it('that nobody is asked to bring to its VM any more is found by fsck, and put right', async () => {
    const vm = await vms.active({ name: 'forgotten' });
    const volume = await volumes.create('orphan');
    await volumes.attach(vm, volume);
    await volumes.reaches(volume.id, 'in-use');
    await cloud.database.query(`UPDATE volume_attachment SET status = 'ATTACHING' WHERE volume_id = $1`, [volume.id]);
    await cloud.database.query(`UPDATE compute_node SET disk_gib_used = disk_gib_used + 1 WHERE name = 'node-1'`);
    const found = await fsck(cloud.database, { repair: true });
    expect(found.map(({ invariant, repaired }) => ({ invariant, repaired }))).toEqual(
      expect.arrayContaining([
        { invariant: 'attachment-on-its-way-has-a-task', repaired: true },
        { invariant: 'claims-add-up', repaired: true },
      ]),
    );
    await volumes.reaches(volume.id, 'in-use');
    expect(await fsck(cloud.database)).toEqual([]);
  });

  it('stays on its node: a VM on another one is told why it cannot have it', async () => {
    const here = await vms.active({ name: 'here' });
    const volume = await volumes.create('rooted');
    await volumes.attach(here, volume);
    await volumes.reaches(volume.id, 'in-use');
    await volumes.detach(here, volume);
    await volumes.reaches(volume.id, 'available');
    await cloud.addNode('node-2');
    await cloud.database.query(`UPDATE compute_node SET draining = true WHERE name = 'node-1'`);
    const there = await vms.active({ name: 'there' });
    const refused = await volumes.attach(there, volume);
    await cloud.database.query('UPDATE compute_node SET draining = false');
    expect(refused.status).toBe(400);
    expect(refused.body.message).toContain('on the node node-1, where it was first attached, and there runs on node-2');
  });

  it('is attached and detached by the names of its VM', async () => {
    const vm = await vms.active({ name: 'by-name' });
    const volume = await volumes.create('named');
    expect(mismatches('AttachVolumes', (await volumes.attach('demo/by-name', volume)).body)).toEqual([]);
    expect((await volumes.reaches(volume.id, 'in-use')).attachments).toMatchObject([{ instance_id: vm.id }]);
    expect((await volumes.attach('demo/nobody', volume)).status).toBe(404);
    expect((await volumes.detach('other/by-name', volume)).status).toBe(404);
    expect((await volumes.detach('demo/by-name', volume)).status).toBe(200);
    await volumes.reaches(volume.id, 'available');
  });

  it('is attached by a label that one VM carries, and detached from each that has it by a label that several carry', async () => {
    const first = await vms.active({ name: 'labelled-1', labels: ['db', 'primary'] });
    const second = await vms.active({ name: 'labelled-2', labels: ['db'] });
    const third = await vms.active({ name: 'labelled-3', labels: ['db'] });
    const [one, two] = [await volumes.create('label-one'), await volumes.create('label-two')];
    expect((await volumes.attach('demo/labels/primary', one)).status).toBe(200);
    const ambiguous = await volumes.attach('demo/labels/db', two);
    expect({ status: ambiguous.status, message: ambiguous.body.message }).toEqual({ status: 400, message: expect.stringContaining('carry this label') });
    expect((await volumes.attach('demo/labels/nobody', two)).status).toBe(404);
    await volumes.attach(second, two);
    for (const { id } of [one, two]) await volumes.reaches(id, 'in-use');

    const { status, body } = await volumes.detach('demo/labels/db', one, two);
    expect(status).toBe(200);
    expect(body.message).toBe('detach-volumes: 2 of 3 virtual machines with the label db');
    expect(body.instances).toMatchObject([
      { id: first.id, accepted: true },
      { id: second.id, accepted: true },
      { id: third.id, accepted: false, message: 'labelled-3 has none of these volumes.' },
    ]);
    for (const { id } of [one, two]) await volumes.reaches(id, 'available');
    expect((await volumes.detach('demo/labels/nobody', one)).body.instances).toEqual([]);
    expect((await volumes.detach('nowhere/labels/db', one)).status).toBe(404);
    const foreign = await volumes.send('POST', 'virtual-machines/demo/labels/db/detach-volumes', { volume_ids: [one.id] }, asOther());
    expect(foreign.status).toBe(404);
  });
});
