/** Volumes: their life in the API. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { fsck } from '../src/conductor/admin/fsck.js';
import { startCloud, type Cloud } from './support/cloud.js';
import { mismatches } from './support/infrahub-model.js';
import { VmClient } from './support/vm-client.js';
import { VolumeClient } from './support/volume-client.js';

const CAPACITY = { cpus: 32, memoryMib: 131_072, diskGib: 500 };

let cloud: Cloud;
let vms: VmClient;
let volumes: VolumeClient;

beforeAll(async () => {
  cloud = await startCloud({ capacity: CAPACITY });
  vms = new VmClient(cloud);
  volumes = new VolumeClient(cloud);
}, 30_000);

afterAll(async () => {
  expect(await fsck(cloud.database)).toEqual([]);
  await cloud.stop();
});

const asOther = (): Record<string, string> => ({ api_key: cloud.other.key });

describe('a volume', () => {
  it('is available at once, and looks as the clients of Infrahub expect', async () => {
    const { body } = await volumes.send('POST', 'volumes', volumes.payload('first', { description: 'of many', callback_url: '', image_id: null }));
    expect(mismatches('Volume', body, ['callback_url'])).toEqual([]);
    expect(body.volume).toMatchObject({ name: 'first', status: 'available', size: 10, description: 'of many', attachments: [] });
    const list = await volumes.send('GET', 'volumes');
    expect(mismatches('Volumes', list.body, ['callback_url', 'page', 'page_size'])).toEqual([]);
    expect(mismatches('Volume', (await volumes.send('GET', `volumes/${body.volume.id}`)).body, ['callback_url'])).toEqual([]);
    expect(mismatches('VolumeTypes', (await volumes.send('GET', 'volume-types')).body)).toEqual([]);
    expect((await volumes.send('GET', 'volume-types')).body.volume_types).toEqual(['Cloud-SSD']);
  });

  it('is made empty, as 0 is no image', async () => {
    const { body } = await volumes.send('POST', 'volumes', volumes.payload('planned', { image_id: 0 }));
    expect(body.volume).toMatchObject({ name: 'planned', image_id: 0, bootable: false });
  });

  it('is listed by part of its name, by its environment, and by page', async () => {
    for (const name of ['needle-1', 'needle-2']) await volumes.create(name);
    const names = async (query: string): Promise<string[]> =>
      (await volumes.send('GET', `volumes?${query}`)).body.volumes.map((volume: { name: string }) => volume.name);
    expect(await names('search=NEEDLE')).toEqual(['needle-1', 'needle-2']);
    expect(await names('search=needle&page=2&pageSize=1')).toEqual(['needle-2']);
    expect(await names('search=needle&environment=demo')).toHaveLength(2);
    expect(await names('environment=nowhere')).toEqual([]);
    expect((await volumes.send('GET', 'volumes?search=needle&page=1&pageSize=1')).body).toMatchObject({ count: 2, page: 1, page_size: 1 });
  });

  it('has a name of its own in its environment', async () => {
    await volumes.create('only-one');
    const second = await volumes.send('POST', 'volumes', volumes.payload('only-one'));
    expect({ status: second.status, reason: second.body.error_reason }).toEqual({ status: 409, reason: 'already_exist' });
    expect((await volumes.send('GET', 'volume/name-availability/only-one')).body).toMatchObject({ name: 'only-one', available: false });
    expect((await volumes.send('GET', 'volume/name-availability/another')).body).toMatchObject({ available: true });
  });

  it.each([
    ['no size', { size: undefined }, 'size is required'],
    ['a size of nothing', { size: 0 }, 'size must not be less than 1'],
    ['a size in pieces', { size: 1.5 }, 'size must be an integer'],
    ['an unknown type', { volume_type: 'Punched-Cards' }, 'volume_type must be one of'],
    ['no number for an image', { image_id: 'tiny' }, 'image_id must be an integer'],
    ['a callback that is no URL', { callback_url: 'nowhere' }, 'URL'],
    ['a field too many', { colour: 'red' }, 'colour is not a known field'],
  ])('is refused with %s', async (_what, change, words) => {
    const { status, body } = await volumes.send('POST', 'volumes', volumes.payload('refused', change));
    expect(status).toBe(400);
    expect(body.message).toContain(words);
  });

  it('is refused in an environment that is not there', async () => {
    expect((await volumes.send('POST', 'volumes', volumes.payload('lost', { environment_name: 'other' }))).status).toBe(404);
  });

  it('moves to another environment of its region, by PATCH and by PUT', async () => {
    const volume = await volumes.create('mover');
    await volumes.send('POST', 'environments', { name: 'second-home', region: 'default-1' });
    const moved = await volumes.send('PATCH', `volumes/${volume.id}`, { environment_name: 'second-home' });
    expect(mismatches('UpdateVolumeResponse', moved.body, ['callback_url'])).toEqual([]);
    expect(moved.body.volume.environment.name).toBe('second-home');
    const back = await volumes.send('PUT', `volumes/${volume.id}`, { environment_name: 'demo' });
    expect(back.body).toMatchObject({ status: true });
    expect(back.body.volume.environment.name).toBe('demo');
    expect((await volumes.send('PATCH', `volumes/${volume.id}`, { environment_name: 'nowhere' })).status).toBe(404);
  });

  it('keeps its environment from being deleted', async () => {
    const { body } = await volumes.send('POST', 'environments', { name: 'not-empty', region: 'default-1' });
    const volume = await volumes.create('tenant', { environment_name: 'not-empty' });
    const refused = await volumes.send('DELETE', `environments/${body.environment.id}`);
    expect(refused.status).toBe(405);
    expect(refused.body.message).toContain('volumes: 1');
    await volumes.send('DELETE', `volumes/${volume.id}`);
    expect((await volumes.send('DELETE', `environments/${body.environment.id}`)).status).toBe(200);
  });

  it('keeps its environment no longer than until it is deleted, though its file is still on its node', async () => {
    const { body } = await volumes.send('POST', 'environments', { name: 'leaving', region: 'default-1' });
    const { environment } = body;
    await volumes.send('POST', 'keypairs', {
      name: 'leaving',
      environment_name: 'leaving',
      public_key: (await volumes.send('GET', 'keypairs')).body.keypairs[0].public_key,
    });
    const vm = await vms.active({ name: 'leaver', environment_name: 'leaving', key_name: 'leaving' });
    const volume = await volumes.create('last-thing', { environment_name: 'leaving' });
    await volumes.attach(vm, volume);
    await volumes.reaches(volume.id, 'in-use');
    await vms.delete(`/${vm.id}`);
    await vms.gone(vm.id);
    const keypair = (await volumes.send('GET', 'keypairs')).body.keypairs.find(({ name }: { name: string }) => name === 'leaving');
    await volumes.send('DELETE', `keypair/${keypair.id}`);
    cloud.nodes[0]!.hypervisor.misbehaviours = { removeVolume: { kind: 'rejecting', times: 2 } };
    await volumes.delete(volume.id);
    expect((await volumes.shown(volume.id)).status).toBe('deleting');
    expect((await volumes.send('DELETE', `environments/${environment.id}`)).status).toBe(200);
    await volumes.gone(volume.id);
    cloud.nodes[0]!.hypervisor.misbehaviours = {};
  });

  it('that was never attached is gone as soon as it is deleted, and its name is free', async () => {
    const volume = await volumes.create('short-lived');
    expect((await volumes.send('DELETE', `volumes/${volume.id}`)).status).toBe(200);
    expect((await volumes.send('GET', `volumes/${volume.id}`)).status).toBe(404);
    await volumes.create('short-lived');
  });

  it('of another organization is as good as missing', async () => {
    const volume = await volumes.create('private');
    const vm = await vms.active({ name: 'not-yours' });
    const attempts: [string, string, object?][] = [
      ['GET', `volumes/${volume.id}`],
      ['PATCH', `volumes/${volume.id}`, { environment_name: 'other' }],
      ['DELETE', `volumes/${volume.id}`],
      ['POST', `virtual-machines/${vm.id}/attach-volumes`, { volume_ids: [volume.id] }],
      ['POST', `virtual-machines/${vm.id}/detach-volumes`, { volume_ids: [volume.id] }],
    ];
    for (const [method, path, body] of attempts) expect((await volumes.send(method, path, body, asOther())).status).toBe(404);
    expect((await volumes.send('GET', 'volumes', undefined, asOther())).body.volumes).toEqual([]);
    const theirs = await new VmClient(cloud, cloud.other).active({ name: 'theirs' });
    const stolen = await volumes.send('POST', `virtual-machines/${theirs.id}/attach-volumes`, { volume_ids: [volume.id] }, asOther());
    expect(stolen.status).toBe(404);
    expect(await volumes.shown(volume.id)).toMatchObject({ status: 'available', environment: { name: 'demo' } });
  });
});
