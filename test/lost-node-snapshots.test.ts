/** What a lost node means for snapshots: copies are on that node only, and one that is being taken is never finished elsewhere. */
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { fsck } from '../src/conductor/admin/fsck.js';
import { setAutoRecover } from '../src/conductor/virtual-machines/auto-recover.js';
import { startCloud, type Answer, type Cloud, type Json } from './support/cloud.js';
import type { CloudNode } from './support/cloud-node.js';
import { eventually } from './support/eventually.js';
import { VmClient } from './support/vm-client.js';

jest.setTimeout(120_000);

const PATIENCE_MS = 40_000;

let cloud: Cloud;
let vms: VmClient;
let lost: CloudNode | undefined;

beforeAll(async () => {
  cloud = await startCloud({
    nodes: 2,
    settings: { BATON_FENCE_SECONDS: '4', BATON_FENCE_MARGIN_SECONDS: '1' },
  });
  vms = new VmClient(cloud);
});

afterEach(() => comeBack());

afterAll(async () => {
  await eventually(async () => expect(await fsck(cloud.database)).toEqual([]), PATIENCE_MS);
  await cloud.stop();
});

const send = (method: string, path: string, body?: object): Promise<Answer> => cloud.request(method, `/v1/core/${path}`, body);
const shown = async (vm: { id: number }): Promise<Json> => (await vms.get(`/${vm.id}`)).body.instance;
const snapshotOf = async (id: number): Promise<Json> => (await send('GET', `snapshots/${id}`)).body.snapshot;

const eventsOf = async (vm: { id: number }): Promise<{ reason: string; message: string }[]> =>
  (await vms.get(`/${vm.id}/events`)).body.instance_events;

/** Of its one live incarnation. */
async function nodeOf({ id }: { id: number }): Promise<CloudNode> {
  const [place] = await cloud.database.query(
    `SELECT n.name FROM incarnation i JOIN compute_node n ON n.id = i.compute_node_id WHERE i.virtual_machine_id = $1 AND i.ended_at IS NULL`,
    [id],
  );
  return cloud.nodes.find(({ name }) => name === place.name)!;
}

async function lose(node: CloudNode): Promise<void> {
  lost = node;
  await node.stop();
}

async function comeBack(): Promise<void> {
  const node = lost;
  lost = undefined;
  await node?.start();
}

const autoRecover = (wanted: boolean): Promise<unknown> => setAutoRecover(cloud.database, 'organization', 'demo', wanted);

async function requested(vm: { id: number }, name: string): Promise<number> {
  const { status, body } = await send('POST', `virtual-machines/${vm.id}/snapshots`, { name, description: '' });
  expect(status).toBe(201);
  return body.snapshot.id;
}

/** @returns where the copy is. */
async function imageOf(name: string): Promise<CloudNode> {
  const vm = await vms.active({ name });
  const id = await requested(vm, name);
  await eventually(async () => expect((await snapshotOf(id)).status).toBe('SUCCESS'));
  expect((await send('POST', `snapshots/${id}/image`, { name })).status).toBe(200);
  return await nodeOf(vm);
}

const untilElsewhere = (vm: Json, node: CloudNode): Promise<void> =>
  eventually(async () => expect((await nodeOf(vm)).name).not.toBe(node.name), PATIENCE_MS);

const drain = (node: CloudNode, draining: boolean): Promise<unknown> =>
  cloud.database.query('UPDATE compute_node SET draining = $2 WHERE name = $1', [node.name, draining]);

describe('a node that is lost', () => {
  it('keeps a VM that was made of an image of a snapshot, whose owner is told why, and has it back', async () => {
    await autoRecover(false);
    const home = await imageOf('golden');
    await autoRecover(true);
    const vm = await vms.active({ name: 'gilded', image_name: 'golden' });
    expect((await nodeOf(vm)).name).toBe(home.name);
    await lose(home);
    const told = await eventually(async () => {
      const event = (await eventsOf(vm)).find(({ reason }) => reason.startsWith('InstanceRecovery'));
      expect(event).toBeDefined();
      return event!;
    }, PATIENCE_MS);
    expect(told).toMatchObject({ reason: 'InstanceRecoveryWaiting', message: expect.stringContaining('The snapshot that it was made of is on that node.') });
    expect((await nodeOf(vm)).name).toBe(home.name);
    await comeBack();
    await eventually(async () => expect(await shown(vm)).toMatchObject({ status: 'ACTIVE', power_state: 'RUNNING' }), PATIENCE_MS);
  });

  it('and has not yet taken up a VM of such an image makes it when it is back', async () => {
    await autoRecover(false);
    const home = await imageOf('silver');
    const other = cloud.nodes.find((node) => node !== home)!;
    await lose(home);
    await drain(other, true);
    const made = await vms.post({ name: 'silvered', image_name: 'silver' });
    const plain = await vms.post({ name: 'plain' });
    await drain(other, false);
    expect([made.status, plain.status]).toEqual([200, 200]);
    const [vm] = made.body.instances;
    const [witness] = plain.body.instances;
    await untilElsewhere(witness, home);
    await vms.reaches(witness.id, 'ACTIVE');
    expect(await shown(vm)).toMatchObject({ status: 'CREATING', fault: null });
    await comeBack();
    await vms.reaches(vm.id, 'ACTIVE');
    expect((await nodeOf(vm)).name).toBe(home.name);
  });

  it('ends the snapshot that it was taking of a VM that is started elsewhere', async () => {
    await autoRecover(true);
    const vm = await vms.active({ name: 'model' });
    const broken = await nodeOf(vm);
    broken.hypervisor.misbehaviours = { takeSnapshot: { kind: 'hanging' } };
    const id = await requested(vm, 'unfinished');
    await lose(broken);
    await untilElsewhere(vm, broken);
    await vms.reaches(vm.id, 'ACTIVE');
    expect(await snapshotOf(id)).toMatchObject({ status: 'ERROR', size_bytes: null, fault: `Node ${broken.name} was lost while it was being taken. Delete it, and try again.` });
    expect(await shown(vm)).toMatchObject({ status: 'ACTIVE', is_snapshotting: false });
    expect((await send('GET', `snapshots/${id}/events`)).body.snapshot_events.map(({ reason }: Json) => reason)).toEqual([
      'SnapshotCreateRequest',
      'SnapshotCreateFailed',
    ]);
    const [{ uuid }] = await cloud.database.query('SELECT uuid FROM snapshot WHERE id = $1', [id]);
    for (const node of cloud.nodes) if (node !== broken) expect(await node.hypervisor.snapshots()).not.toContain(uuid);
  });
});
