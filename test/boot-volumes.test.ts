/** Bootable volumes, VMs that boot from them, and sizes made to measure: what the creation of a VM may ask for. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { fsck } from '../src/conductor/admin/fsck.js';
import { setQuota } from '../src/conductor/quotas/set-quota.js';
import { startCloud, type Answer, type Cloud, type Json } from './support/cloud.js';
import { eventually } from './support/eventually.js';
import { mismatches } from './support/infrahub-model.js';
import { VmClient } from './support/vm-client.js';
import { VolumeClient } from './support/volume-client.js';

let cloud: Cloud;
let vms: VmClient;
let volumes: VolumeClient;
let imageId: number;

beforeAll(async () => {
  cloud = await startCloud({ nodes: 2, capacity: { cpus: 32, memoryMib: 131_072, diskGib: 300 }, gpus: [{ model: 'L40', count: 4 }] });
  vms = new VmClient(cloud);
  volumes = new VolumeClient(cloud);
  const [group] = (await volumes.send('GET', 'images')).body.images;
  imageId = group.images[0].id;
}, 60_000);

afterEach(async () => {
  for (const node of cloud.nodes) node.hypervisor.misbehaviours = {};
  await setQuota(cloud.database, 'demo', { volumes: null, volume_gib: null, disk_gib: null, vcpus: null });
});

afterAll(async () => {
  expect(await fsck(cloud.database)).toEqual([]);
  await cloud.stop();
}, 30_000);

const expectRefusal = (answer: Answer, status: number, words: string): void =>
  expect({ status: answer.status, message: answer.body.message }).toEqual({ status, message: expect.stringContaining(words) });

async function bootable(name: string, change: object = {}): Promise<Json> {
  const volume = await volumes.create(name, { size: 3, image_id: imageId, ...change });
  return volumes.reaches(volume.id, 'available');
}

/** A request that boots from a volume. */
const fromVolume = (name: string, volume: string, change: object = {}): object => ({ name, image_name: undefined, volume_name: volume, ...change });

const diskUsed = async (): Promise<number> => (await volumes.diskUsed('node-1')) + (await volumes.diskUsed('node-2'));

describe('a volume of an image', () => {
  it('is downloading until its node has made it, then available and bootable', async () => {
    for (const node of cloud.nodes) node.hypervisor.misbehaviours = { prepareVolume: { kind: 'slow', ms: 300 } };
    const vm = await vms.active({ name: 'impatient' });
    const before = await diskUsed();
    const { body } = await volumes.send('POST', 'volumes', volumes.payload('golden', { size: 3, image_id: imageId }));
    expect(mismatches('Volume', body, ['callback_url'])).toEqual([]);
    expect(body.volume).toMatchObject({ status: 'downloading', bootable: true, image_id: imageId, os_image: 'tiny' });
    expect(await diskUsed()).toBe(before + 3);
    expectRefusal(await volumes.attach(vm, body.volume), 400, 'is downloading');
    expectRefusal(await volumes.grow(body.volume.id, 9), 400, 'is downloading');
    expectRefusal(await vms.post(fromVolume('too-early', 'golden')), 400, 'is downloading');
    await volumes.reaches(body.volume.id, 'available');
    await volumes.delete(body.volume.id);
    await volumes.gone(body.volume.id);
    expect(await diskUsed()).toBe(before);
  });

  it('is in error with the reason where its node cannot make it, and can be deleted', async () => {
    for (const node of cloud.nodes) node.hypervisor.misbehaviours = { prepareVolume: { kind: 'failing' } };
    const volume = await volumes.create('broken', { image_id: imageId });
    expect((await volumes.reaches(volume.id, 'error')).fault).toContain('prepareVolume');
    expectRefusal(await vms.post(fromVolume('hopeless', 'broken')), 400, 'is error');
    expect((await volumes.delete(volume.id)).status).toBe(200);
    await volumes.gone(volume.id);
  });

  it('is made in the end where its node could not at first', async () => {
    for (const node of cloud.nodes) node.hypervisor.misbehaviours = { prepareVolume: { kind: 'rejecting', times: 2 } };
    await bootable('stubborn');
  });

  it('deleted while it is made leaves nothing', async () => {
    for (const node of cloud.nodes) node.hypervisor.misbehaviours = { prepareVolume: { kind: 'slow', ms: 700 } };
    const before = await diskUsed();
    const volume = await volumes.create('regretted', { image_id: imageId });
    expect((await volumes.delete(volume.id)).status).toBe(200);
    await volumes.gone(volume.id);
    expect(await diskUsed()).toBe(before);
  });

  it('is refused of an image that is not there, and where no node has the room', async () => {
    expectRefusal(await volumes.send('POST', 'volumes', volumes.payload('no-image', { image_id: 999_999 })), 404, 'The image 999999');
    const large = await volumes.send('POST', 'volumes', volumes.payload('no-room', { image_id: imageId, size: 100_000 }));
    expect({ status: large.status, reason: large.body.error_reason }).toEqual({ status: 409, reason: 'no_capacity' });
    await volumes.send('POST', 'volumes', volumes.payload('twice', { image_id: imageId, size: 1 }));
    expect((await volumes.send('POST', 'volumes', volumes.payload('twice', { image_id: imageId, size: 1 }))).status).toBe(409);
  });

  it('of a private image is refused to another organization', async () => {
    const [{ id }] = await cloud.database.query(
      `INSERT INTO image (region_id, organization_id, name, type, version, size_bytes, files)
       SELECT region_id, (SELECT id FROM organization WHERE name = 'demo'), 'secret', type, version, size_bytes, files FROM image WHERE id = $1
       RETURNING id`,
      [imageId],
    );
    const others = new VolumeClient(cloud, cloud.other);
    expectRefusal(await others.send('POST', 'volumes', others.payload('stolen', { image_id: id })), 404, 'was not found');
    await bootable('own-secret', { image_id: id });
  });
});

describe('a VM that boots from a volume', () => {
  it('runs on its node with it as root disk, claims no disk of its own, and keeps it from being deleted', async () => {
    const volume = await bootable('boot-me', { size: 4 });
    const before = await diskUsed();
    const { status, body } = await vms.post(fromVolume('booted', 'boot-me'));
    expect({ status, message: body.message }).toEqual({ status: 200, message: 'Creating VM' });
    expect(mismatches('InstanceFields', body.instances[0], ['power_state', 'vm_state', 'fixed_ip', 'floating_ip', 'callback_url', 'contract_id'])).toEqual([]);
    expect(body.instances[0]).toMatchObject({
      image: { name: 'tiny' },
      os: 'tiny',
      volume_attachments: [{ status: 'ATTACHING', volume: { id: volume.id, name: 'boot-me', size: 4, bootable: true } }],
    });
    const vm = await vms.reaches(body.instances[0].id, 'ACTIVE');
    expect(vm.volume_attachments).toMatchObject([{ id: body.instances[0].volume_attachments[0].id, status: 'ATTACHED', volume: { bootable: true } }]);
    expect(await volumes.reaches(volume.id, 'in-use')).toMatchObject({ attachments: [{ instance_id: vm.id, status: 'ATTACHED' }] });
    expect(await volumes.onNode(vm)).toEqual([await volumes.uuidOf(volume.id)]);
    expect(await diskUsed()).toBe(before);

    expectRefusal(await volumes.delete(volume.id), 400, 'when it is detached');
    expectRefusal(await volumes.detach(vm, volume), 400, 'boots from the volume');
    expectRefusal(await vms.post(fromVolume('rival', 'boot-me')), 400, 'in-use');

    await vms.delete(`/${vm.id}`);
    await vms.gone(vm.id);
    await volumes.reaches(volume.id, 'available');
    const again = await vms.active(fromVolume('booted-again', 'boot-me'));
    expect(await volumes.onNode(again)).toEqual([await volumes.uuidOf(volume.id)]);
  });

  it('has other volumes beside it, and both grow', async () => {
    const root = await bootable('root-and-more', { size: 2 });
    const vm = await vms.active(fromVolume('with-data', 'root-and-more'));
    const data = await volumes.create('more', { size: 2 });
    await volumes.attach(vm, data);
    await volumes.reaches(data.id, 'in-use');
    expect((await volumes.grow(root.id, 5)).status).toBe(200);
    expect((await volumes.grow(data.id, 6)).status).toBe(200);
    await eventually(async () => expect(await volumes.sizesOnNode(vm)).toEqual([5, 6]));
    await volumes.detach(vm, data);
    await volumes.reaches(data.id, 'available');
    expect(await volumes.onNode(vm)).toEqual([await volumes.uuidOf(root.id)]);
    await vms.get(`/${vm.id}/stop`);
    await vms.reaches(vm.id, 'SHUTOFF');
    await vms.send('POST', `/${vm.id}/resize`, { flavor_name: 'small-1' });
    await vms.get(`/${vm.id}`);
    expect(await fsck(cloud.database)).toEqual([]);
  });

  it('is won by one of several that want it at the same time', async () => {
    const volume = await bootable('contested');
    const answers = await Promise.all([1, 2, 3, 4].map((n) => vms.post(fromVolume(`contender-${n}`, 'contested'))));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 400, 400, 400]);
    expect((await volumes.reaches(volume.id, 'in-use')).attachments).toHaveLength(1);
  });

  it('is refused where the request contradicts itself or the volume', async () => {
    await volumes.create('empty', { size: 1 });
    await bootable('fine', { size: 1 });
    expectRefusal(await vms.post(fromVolume('x', 'empty')), 400, 'not bootable');
    expectRefusal(await vms.post(fromVolume('x', 'nowhere')), 404, 'The volume "nowhere"');
    expectRefusal(await vms.post({ name: 'x', volume_name: 'fine' }), 400, 'Leave image_name out');
    expectRefusal(await vms.post(fromVolume('x', 'fine', { count: 2 })), 400, 'count must be 1');
    expectRefusal(await vms.post(fromVolume('x', 'fine', { create_bootable_volume: true })), 400, 'Either create_bootable_volume or volume_name');
    expectRefusal(await vms.post({ name: 'x', image_name: undefined }), 400, 'image_name is required');
    const others = new VmClient(cloud, cloud.other);
    expectRefusal(await others.post({ name: 'x', image_name: undefined, volume_name: 'fine' }), 404, 'The volume "fine"');
  });

  it('leaves the volume free where it could not be started', async () => {
    const volume = await bootable('unlucky');
    for (const node of cloud.nodes) node.hypervisor.misbehaviours = { start: { kind: 'failing' } };
    const { body } = await vms.post(fromVolume('failing', 'unlucky'));
    await vms.reaches(body.instances[0].id, 'ERROR');
    await volumes.reaches(volume.id, 'available');
    expect(await fsck(cloud.database)).toEqual([]);
    await vms.delete(`/${body.instances[0].id}`);
  });
});

describe('a VM that is created with a bootable volume', () => {
  it('boots from it, and leaves it when it is deleted', async () => {
    const before = await diskUsed();
    const { body } = await vms.post({ name: 'with-root', count: 2, create_bootable_volume: true });
    const made: Json[] = [];
    for (const { id } of body.instances) made.push(await vms.reaches(id, 'ACTIVE'));
    const [first, second] = made.map((vm) => vm.volume_attachments[0].volume);
    expect(first).toMatchObject({ name: `with-root-1-root-${made[0].id}`, bootable: true, size: made[0].flavor.disk });
    expect(first.id).not.toBe(second.id);
    expect(await diskUsed()).toBe(before + 2 * first.size);
    expect(await volumes.reaches(first.id, 'in-use')).toMatchObject({ image_id: imageId, environment: { name: 'demo' } });
    await vms.delete(`/${made[0].id}`);
    await vms.gone(made[0].id);
    await volumes.reaches(first.id, 'available');
    expect(await diskUsed()).toBe(before + 2 * first.size);
    const heir = await vms.active(fromVolume('heir', first.name));
    expect(await volumes.onNode(heir)).toEqual([await volumes.uuidOf(first.id)]);
  });

  it('counts the volume against the quota, and nothing is left where it is refused', async () => {
    await setQuota(cloud.database, 'demo', { volume_gib: 0 });
    const before = [await diskUsed(), await vms.count()];
    expectRefusal(await vms.post({ name: 'no-quota', create_bootable_volume: true }), 403, 'GiB of volumes');
    expectRefusal(await vms.post({ name: 'no-quota', create_bootable_volume: true }, {}, '?dry_run=true'), 403, 'GiB of volumes');
    expect([await diskUsed(), await vms.count()]).toEqual(before);
  });

  it('that could not be started leaves a volume that its node makes nevertheless', async () => {
    for (const node of cloud.nodes) node.hypervisor.misbehaviours = { start: { kind: 'failing' } };
    const { body } = await vms.post({ name: 'never-ran', create_bootable_volume: true });
    const { id } = body.instances[0].volume_attachments[0].volume;
    await vms.reaches(body.instances[0].id, 'ERROR');
    await volumes.reaches(id, 'available');
    await vms.delete(`/${body.instances[0].id}`);
    await volumes.delete(id);
    await volumes.gone(id);
  });
});

describe('a size made to measure', () => {
  const flavor = { cpu: 3, ram: 1.5, disk: 7, gpu: 'L40', gpu_count: 1 };
  const custom = (name: string, change: object = {}): object => ({ name, flavor_name: undefined, flavor: { ...flavor, ...change } });

  it('is claimed, shown as a flavor, and in no list', async () => {
    const vm = await vms.active(custom('tailored'));
    expect(vm.flavor).toMatchObject({ name: 'custom-3-1536-7-L40-1', cpu: 3, ram: 1.5, disk: 7, gpu: 'L40', gpu_count: 1 });
    const [claim] = await cloud.database.query('SELECT vcpus, memory_mib, disk_gib, gpu_model, gpu_count FROM incarnation WHERE virtual_machine_id = $1', [vm.id]);
    expect(claim).toEqual({ vcpus: 3, memory_mib: 1536, disk_gib: 7, gpu_model: 'L40', gpu_count: 1 });
    const same = await vms.active(custom('tailored-too'));
    expect(same.flavor.id).toBe(vm.flavor.id);
    for (const list of ['/v1/core/flavors', '/v1/pricebook']) expect((await cloud.request('GET', list)).text).not.toContain('custom-');
    expectRefusal(await vms.post({ name: 'by-name', flavor_name: 'custom-3-1536-7-L40-1' }), 404, 'The flavor');
    expect((await vms.send('POST', `/${vm.id}/resize`, { flavor_name: 'custom-3-1536-7-L40-1' })).status).toBe(404);
  });

  it('is what a VM can be resized to', async () => {
    const vm = await vms.active({ name: 'outgrown' });
    const size = { cpu: 2, ram: 0.75, disk: 6 };
    expect((await vms.send('POST', `/${vm.id}/resize`, { flavor: size })).status).toBe(200);
    expect((await vms.reaches(vm.id, 'ACTIVE')).flavor).toMatchObject({ ...size, name: 'custom-2-768-6', gpu: '', gpu_count: 0 });
    const [claim] = await cloud.database.query('SELECT vcpus, memory_mib, disk_gib FROM incarnation WHERE virtual_machine_id = $1', [vm.id]);
    expect(claim).toEqual({ vcpus: 2, memory_mib: 768, disk_gib: 6 });
    expectRefusal(await vms.send('POST', `/${vm.id}/resize`, { flavor: size }), 400, 'has the flavor custom-2-768-6 already');
    expectRefusal(await vms.send('POST', `/${vm.id}/resize`, { flavor: { ...size, disk: 5 } }), 400, 'a disk can only grow');
    expectRefusal(await vms.send('POST', `/${vm.id}/resize`, { flavor: size, flavor_name: 'tiny-1' }), 400, 'Either flavor_name or flavor');
    expectRefusal(await vms.send('POST', `/${vm.id}/resize`, { flavor: {} }), 400, 'flavor_name is required');
    expectRefusal(await vms.send('POST', `/${vm.id}/resize`, {}), 400, 'flavor_name is required');
    expectRefusal(await vms.send('POST', `/${vm.id}/resize`, { flavor: { ...size, gpu_count: 1 } }), 400, 'must be given together');
  });

  it('leaves nothing behind where nothing is made of it', async () => {
    const sizes = (): Promise<Json> => cloud.database.query('SELECT name FROM flavor WHERE custom ORDER BY name');
    const before = await sizes();
    const dry = await vms.post(custom('x', { cpu: 4 }), {}, '?dry_run=true');
    expect({ status: dry.status, message: dry.body.message }).toEqual({ status: 200, message: expect.stringContaining('There is room for 1 × 4 vCPUs') });
    expectRefusal(await vms.post(custom('x', { cpu: 5, disk: 60_000 }), {}, '?dry_run=true'), 409, 'GiB');
    expectRefusal(await vms.post(custom('x', { cpu: 6, disk: 60_000 })), 409, 'GiB');
    expectRefusal(await vms.post({ ...custom('x', { cpu: 7 }), image_name: 'nowhere' }), 404, 'The image');
    await setQuota(cloud.database, 'demo', { vcpus: 2 });
    expectRefusal(await vms.post(custom('x', { cpu: 8 })), 403, 'vCPUs');
    await setQuota(cloud.database, 'demo', { vcpus: null });
    const vm = await vms.active({ name: 'content' });
    expectRefusal(await vms.send('POST', `/${vm.id}/resize`, { flavor: { cpu: 9, ram: 1, disk: 60_000 } }), 409, 'no room');
    expect(await sizes()).toEqual(before);
  });

  it('that many ask for at once is one flavor', async () => {
    const asked = ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => vms.post(custom(`at-once-${name}`, { cpu: 1, ram: 0.3, gpu: undefined, gpu_count: undefined })));
    const answers = await Promise.all(asked);
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200, 200]);
    const [first, ...others] = answers.map(({ body }) => body.instances[0].flavor);
    expect(first).toMatchObject({ id: expect.any(Number), name: 'custom-1-307-7' });
    for (const other of others) expect(other).toEqual(first);
    for (const { body } of answers) await vms.reaches(body.instances[0].id, 'ACTIVE');
  });

  it('that is said without a field is none', async () => {
    const vm = await vms.active({ name: 'planned', flavor: {}, volume_name: '', user_data: '', labels: [] });
    expect(vm.flavor.name).toBe('tiny-1');
    expectRefusal(await vms.post({ name: 'x', flavor_name: undefined, flavor: {} }), 400, 'flavor_name is required');
    expectRefusal(await vms.post({ name: 'x', flavor: { cpu: 1 } }), 400, 'flavor.ram is required');
  });

  it('is refused beside a name, by halves, out of bounds, without room and over the quota', async () => {
    expectRefusal(await vms.post({ name: 'x', flavor }), 400, 'Either flavor_name or flavor');
    expectRefusal(await vms.post({ name: 'x', flavor_name: undefined }), 400, 'flavor_name is required');
    expectRefusal(await vms.post(custom('x', { gpu_count: 0 })), 400, 'must be given together');
    expectRefusal(await vms.post(custom('x', { gpu: '' })), 400, 'must be given together');
    for (const change of [{ cpu: 0 }, { cpu: 1.5 }, { ram: 0 }, { ram: 'much' }, { disk: undefined }, { gpu: 'L40; DROP' }, { node: 1 }])
      expect((await vms.post(custom('x', change))).status).toBe(400);
    const large = await vms.post(custom('x', { cpu: 400 }));
    expect({ status: large.status, reason: large.body.error_reason }).toEqual({ status: 409, reason: 'no_capacity' });
    expect((await vms.post(custom('x', { gpu: 'H100' }))).status).toBe(409);
    await setQuota(cloud.database, 'demo', { vcpus: 2 });
    expectRefusal(await vms.post(custom('x')), 403, 'vCPUs');
  });

  it('is accepted with what clients send beside it', async () => {
    const vm = await vms.active({
      ...custom('complete', { gpu: undefined, gpu_count: undefined }),
      enhanced_monitoring_enabled: true,
      create_bootable_volume: false,
      volume_name: '',
      profile: { name: 'tailored' },
      security_rules: [{ direction: 'ingress', ethertype: 'IPv4', protocol: 'tcp', remote_ip_prefix: '0.0.0.0/0', port_range_min: 22, port_range_max: 22 }],
    });
    expect(vm.security_rules).toHaveLength(3);
    expect(vm.security_rules.filter(({ direction }: Json) => direction === 'egress')).toHaveLength(2);
    const { profiles } = (await volumes.send('GET', 'profiles')).body;
    expect(JSON.stringify(profiles)).toContain('tailored');
  });
});
