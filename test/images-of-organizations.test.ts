/** Images that an organization owns, beside the public ones: who sees them, and when VMs can be made of them. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { fsck } from '../src/conductor/admin/fsck.js';
import { insert } from './support/api.js';
import { startCloud, type Cloud } from './support/cloud.js';
import { VmClient } from './support/vm-client.js';

let cloud: Cloud;
let vms: VmClient;
let foreign: VmClient;

beforeAll(async () => {
  cloud = await startCloud();
  vms = new VmClient(cloud);
  foreign = new VmClient(cloud, cloud.other);
});

afterAll(async () => {
  expect(await fsck(cloud.database)).toEqual([]);
  await cloud.stop();
});

async function own(name: string, change: object = {}): Promise<number> {
  const [row] = await cloud.database.query<[{ region_id: number; organization_id: number }]>(
    `SELECT r.id AS region_id, o.id AS organization_id FROM region r, organization o WHERE r.name = 'default-1' AND o.name = 'demo'`,
  );
  const files = JSON.stringify({ disk: { url: 'https://example.org/disk', sha256: 'b'.repeat(64), format: 'qcow2' } });
  return Number(await insert(cloud.database, 'image', { ...row, name, type: 'Own', version: '1', size_bytes: 1, files, ...change }));
}

describe('an image of an organization', () => {
  it('is offered to its own VMs', async () => {
    await own('private-1');
    expect(await vms.active({ name: 'of-private', image_name: 'private-1' })).toMatchObject({ image: { name: 'private-1' } });
  });

  it('is missing to everybody else', async () => {
    const id = await own('private-2');
    const created = await foreign.post({ name: 'thief', image_name: 'private-2' });
    expect({ status: created.status, message: created.body.message }).toEqual({
      status: 404,
      message: expect.stringContaining('The image "private-2" in region default-1 was not found.'),
    });
    expect((await cloud.request('GET', `/v1/core/images/${id}`, undefined, { api_key: cloud.other.key })).status).toBe(404);
    expect((await cloud.request('GET', `/v1/core/images/${id}`)).body.image).toMatchObject({ name: 'private-2', is_public: false });
  });

  it('makes no VM before it is available', async () => {
    await own('on-its-way', { status: 'downloading', files: null });
    const { status, body } = await vms.post({ name: 'early', image_name: 'on-its-way' });
    expect({ status, message: body.message }).toEqual({ status: 400, message: expect.stringContaining('its status is downloading') });
    await cloud.database.query(`UPDATE image SET status = 'error', problem = 'gone' WHERE name = 'on-its-way'`);
  });

  it('makes no VM whose disk is too small for it', async () => {
    await own('bulky', { min_disk_gib: 5 });
    const { status, body } = await vms.post({ name: 'cramped', image_name: 'bulky' });
    expect({ status, message: body.message }).toEqual({
      status: 400,
      message: 'The image "bulky" needs a disk of at least 5 GB, and the flavor tiny-1 has 1. Choose a larger flavor.',
    });
    expect((await vms.post({ name: 'roomy', image_name: 'bulky', flavor_name: 'small-1' }, {}, '?dry_run=true')).status).toBe(200);
  });
});
