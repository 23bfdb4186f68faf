/** Snapshots as what VMs, images and volumes are made of, and how they end. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { fsck } from '../src/conductor/admin/fsck.js';
import { startCloud, type Answer, type Cloud, type Json } from './support/cloud.js';
import type { CloudNode } from './support/cloud-node.js';
import { mismatches } from './support/infrahub-model.js';
import { SnapshotClient } from './support/snapshot-client.js';
import { VmClient } from './support/vm-client.js';

let cloud: Cloud;
let vms: VmClient;
let snapshots: SnapshotClient;
let node: CloudNode;

beforeAll(async () => {
  cloud = await startCloud();
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

const refusal = ({ status, body }: Answer) => ({ status, reason: body.error_reason });

describe('a snapshot that is restored', () => {
  it('makes a VM like the one it was taken of, on the node that has the copy', async () => {
    const vm = await vms.active({ name: 'pattern', flavor_name: 'small-1' });
    const { id } = await snapshots.taken(vm, 'pattern-1');
    const second = await cloud.addNode('node-2');
    for (let n = 1; n <= 6; n++) {
      const { status, body } = await snapshots.send('POST', `snapshots/${id}/restore`, { new_vm_name: `copy-${n}` });
      expect(status).toBe(200);
      expect(mismatches('Instance', body, ['floating_ip', 'contract_id', 'callback_url', 'fixed_ip', 'power_state', 'vm_state'])).toEqual([]);
      expect(body.instances).toEqual([body.instance]);
      const copy = await vms.reaches(body.instance.id, 'ACTIVE');
      expect(copy).toMatchObject({ name: `copy-${n}`, image: { name: 'tiny' }, flavor: { name: 'small-1' }, keypair: { name: 'demo' } });
    }
    expect(await second.hypervisor.inventory()).toEqual([]);
    const { snapshot_events: events } = (await snapshots.send('GET', `snapshots/${id}/events`)).body;
    expect(events[2]).toMatchObject({ reason: 'SnapshotRestoreRequest', object: 'pattern-1', snapshot_id: id });
    await cloud.database.query(`UPDATE compute_node SET draining = true WHERE name = 'node-2'`);
  }, 60_000);

  it('goes through placement, quota and names like any other creation', async () => {
    const vm = await vms.active({ name: 'ordinary' });
    const { id } = await snapshots.taken(vm, 'ordinary-1');
    const restore = (name: string) => snapshots.send('POST', `snapshots/${id}/restore`, { new_vm_name: name });
    expect(refusal(await restore('ordinary'))).toEqual({ status: 409, reason: 'already_exist' });
    await cloud.database.query(`UPDATE compute_node SET draining = true WHERE name = 'node-1'`);
    const full = await restore('homeless');
    await cloud.database.query(`UPDATE compute_node SET draining = false WHERE name = 'node-1'`);
    expect(refusal(full)).toEqual({ status: 409, reason: 'no_capacity' });
    expect(full.body.message).toContain('does not have the snapshot');
    await cloud.database.query(`UPDATE organization_quota SET vms_max = vms_used WHERE organization_id = (SELECT id FROM organization WHERE name = 'demo')`);
    const poor = await restore('one-too-many');
    await cloud.database.query(`UPDATE organization_quota SET vms_max = NULL`);
    expect(refusal(poor)).toEqual({ status: 403, reason: 'quota_exceeded' });
  });

  it('is restored once for one Idempotency-Key', async () => {
    const vm = await vms.active({ name: 'idem' });
    const { id } = await snapshots.taken(vm, 'idem-1');
    const restore = () => snapshots.send('POST', `snapshots/${id}/restore`, { new_vm_name: 'idem-copy' }, { api_key: cloud.demo.key, 'idempotency-key': 'once' });
    const answers = [await restore(), ...(await Promise.all([restore(), restore()]))];
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(new Set(answers.map(({ body }) => body.instance.id)).size).toBe(1);
    const { snapshot_events: events } = (await snapshots.send('GET', `snapshots/${id}/events`)).body;
    expect(events.filter(({ reason }: Json) => reason === 'SnapshotRestoreRequest')).toHaveLength(1);
  });

  it('answers a repeated request alike after the snapshot was deleted', async () => {
    const vm = await vms.active({ name: 'repeated' });
    const { id } = await snapshots.taken(vm, 'repeated-1');
    const restore = () => snapshots.send('POST', `snapshots/${id}/restore`, { new_vm_name: 'repeated-copy' }, { api_key: cloud.demo.key, 'idempotency-key': 'repeated' });
    const first = await restore();
    await vms.reaches(first.body.instance.id, 'ACTIVE');
    await snapshots.send('DELETE', `snapshots/${id}`);
    await snapshots.gone(id);
    const second = await restore();
    expect(second.status).toBe(200);
    expect(second.body.instance.id).toBe(first.body.instance.id);
  });

  it('outlives its VM, and restores with the keys that the VM had', async () => {
    const { publicKey } = await import('./conformance/lab.js');
    const keypair = (await snapshots.send('POST', 'keypairs', { environment_name: 'demo', name: 'short', public_key: publicKey() })).body.keypair;
    const vm = await vms.active({ name: 'mortal', key_name: 'short' });
    const { id } = await snapshots.taken(vm, 'mortal-1');
    await vms.delete(`/${vm.id}`);
    await vms.gone(vm.id);
    await snapshots.send('DELETE', `keypair/${keypair.id}`);
    expect(await snapshots.shown(id)).toMatchObject({ status: 'SUCCESS', vm_name: 'mortal', vm_status: 'DELETED' });
    const { body } = await snapshots.send('POST', `snapshots/${id}/restore`, { new_vm_name: 'reborn' });
    expect((await vms.reaches(body.instance.id, 'ACTIVE')).key_names).toEqual(['short']);
  });

  it('refuses a contract, which Baton does not have', async () => {
    const answer = await snapshots.send('POST', 'snapshots/1/restore', { new_vm_name: 'bound', contract_id: 7 });
    expect(answer.status).toBe(400);
    expect(answer.body.message).toContain('contracts are not offered');
  });
});

describe('a snapshot that is deleted', () => {
  it('is gone when its node has removed the file, and its events stay', async () => {
    const vm = await vms.active({ name: 'shed' });
    const { id } = await snapshots.taken(vm, 'shed-1');
    const [{ uuid }] = await cloud.database.query('SELECT uuid FROM snapshot WHERE id = $1', [id]);
    node.hypervisor.misbehaviours = { removeSnapshot: { kind: 'rejecting', times: 1 } };
    expect((await snapshots.send('DELETE', `snapshots/${id}`)).body).toMatchObject({ status: true });
    expect((await snapshots.send('DELETE', `snapshots/${id}`)).status).toBe(200);
    await snapshots.gone(id);
    expect(await node.hypervisor.snapshots()).not.toContain(uuid);
    const { snapshot_events: events } = (await snapshots.send('GET', `snapshots/${id}/events`)).body;
    expect(events.map(({ reason }: Json) => reason)).toEqual([
      'SnapshotCreateRequest',
      'SnapshotCreateSuccess',
      'SnapshotDeleteRequest',
      'SnapshotDeleteSuccess',
    ]);
  });

  it('waits for a VM that is being made of it', async () => {
    const vm = await vms.active({ name: 'donor' });
    const { id } = await snapshots.taken(vm, 'donor-1');
    node.hypervisor.misbehaviours = { define: { kind: 'slow', ms: 2_000 } };
    const { body } = await snapshots.send('POST', `snapshots/${id}/restore`, { new_vm_name: 'recipient' });
    expect(refusal(await snapshots.send('DELETE', `snapshots/${id}`))).toEqual({ status: 409, reason: 'in_use' });
    await vms.reaches(body.instance.id, 'ACTIVE');
    expect((await snapshots.send('DELETE', `snapshots/${id}`)).status).toBe(200);
    await snapshots.gone(id);
    expect((await vms.get(`/${body.instance.id}/hard-reboot`)).status).toBe(200);
    await vms.reaches(body.instance.id, 'ACTIVE');
  });

  it('is never at once deleted and restored', async () => {
    const vm = await vms.active({ name: 'contended' });
    for (let round = 1; round <= 5; round++) {
      const { id } = await snapshots.taken(vm, `contended-${round}`);
      const [restored, deleted] = await Promise.all([
        snapshots.send('POST', `snapshots/${id}/restore`, { new_vm_name: `contended-copy-${round}` }),
        snapshots.send('DELETE', `snapshots/${id}`),
      ]);
      if (restored.status === 200) {
        expect([409, 200]).toContain(deleted.status);
        await vms.reaches(restored.body.instance.id, 'ACTIVE');
      } else {
        // Refused as it is going, or missing where its node was faster.
        expect([400, 404]).toContain(restored.status);
        expect(deleted.status).toBe(200);
      }
    }
  }, 60_000);

  it('keeps its environment from being deleted until then', async () => {
    const { environment } = (await snapshots.send('POST', 'environments', { name: 'studio', region: 'default-1' })).body;
    const { publicKey } = await import('./conformance/lab.js');
    const { keypair } = (await snapshots.send('POST', 'keypairs', { environment_name: 'studio', name: 'k', public_key: publicKey() })).body;
    const vm = await vms.active({ name: 'sitter', environment_name: 'studio', key_name: 'k' });
    const { id } = await snapshots.taken(vm, 'sitter-1');
    await vms.delete(`/${vm.id}`);
    await vms.gone(vm.id);
    await snapshots.send('DELETE', `keypair/${keypair.id}`);
    const refused = await snapshots.send('DELETE', `environments/${environment.id}`);
    expect(refused.status).toBe(405);
    expect(refused.body.message).toContain('snapshots: 1');
    await snapshots.send('DELETE', `snapshots/${id}`);
    await snapshots.gone(id);
    expect((await snapshots.send('DELETE', `environments/${environment.id}`)).status).toBe(200);
  });
});

describe('an image of a snapshot', () => {
  it("is a private image, by whose name VMs are made on the snapshot's node", async () => {
    const vm = await vms.active({ name: 'muse', flavor_name: 'small-1' });
    const { id } = await snapshots.taken(vm, 'muse-1');
    const { status, body } = await snapshots.send('POST', `snapshots/${id}/image`, { name: 'golden', labels: ['v1'] });
    expect(status).toBe(200);
    expect(mismatches('CreateImage', body)).toEqual([]);
    expect(body.image).toMatchObject({ id: body.id, name: 'golden', type: 'Snapshot', is_public: false, labels: [{ id: 1, label: 'v1' }] });
    expect(await snapshots.shown(id)).toMatchObject({ is_image: true, custom_image: 'golden' });
    expect((await vms.active({ name: 'gilded', image_name: 'golden', flavor_name: 'small-1' })).image.name).toBe('golden');
    const small = await vms.post({ name: 'too-small', image_name: 'golden', flavor_name: 'tiny-1' });
    expect(small.status).toBe(400);
    expect(small.body.message).toContain('needs a disk of at least 10 GB');
    expect((await snapshots.send('GET', `images/${body.id}`, undefined, asOther())).status).toBe(404);
    expect((await new VmClient(cloud, cloud.other).post({ name: 'thief', image_name: 'golden' })).status).toBe(404);
    expect(refusal(await snapshots.send('POST', `snapshots/${id}/image`, { name: 'golden-2' }))).toEqual({ status: 409, reason: 'already_exist' });
  });

  it('has a name of its own among the images that its organization sees', async () => {
    const vm = await vms.active({ name: 'copycat' });
    const { id } = await snapshots.taken(vm, 'copycat-1');
    for (const name of ['golden', 'tiny'])
      expect(refusal(await snapshots.send('POST', `snapshots/${id}/image`, { name }))).toEqual({ status: 409, reason: 'already_exist' });
  });

  it('goes with its snapshot, and can go before it', async () => {
    const vm = await vms.active({ name: 'fleeting' });
    const { id } = await snapshots.taken(vm, 'fleeting-1');
    const first = (await snapshots.send('POST', `snapshots/${id}/image`, { name: 'fleeting-image' })).body;
    expect((await snapshots.send('DELETE', `images/${first.id}`)).status).toBe(200);
    expect((await snapshots.shown(id)).is_image).toBe(false);
    const second = (await snapshots.send('POST', `snapshots/${id}/image`, { name: 'fleeting-image' })).body;
    expect((await snapshots.send('GET', `images/${second.id}`)).status).toBe(200);
    await snapshots.send('DELETE', `snapshots/${id}`);
    expect((await snapshots.send('GET', `images/${second.id}`)).status).toBe(404);
    await snapshots.gone(id);
  });
});

describe('a snapshot of a VM that boots from a volume', () => {
  it('has the size of the volume, and makes VMs of flavors that are large enough', async () => {
    const made = await vms.post({ name: 'rooted', create_bootable_volume: true });
    expect(made.status).toBe(200);
    const vm = await vms.reaches(made.body.instances[0].id, 'ACTIVE');
    const { id, size } = await snapshots.taken(vm, 'rooted-1');
    expect(size).toBe(vm.volume_attachments[0].volume.size);
    const { body } = await snapshots.send('POST', `snapshots/${id}/restore`, { new_vm_name: 'uprooted' });
    await vms.reaches(body.instance.id, 'ACTIVE');
  });

  it('is no content for a volume by itself, which might come to be on another node', async () => {
    const vm = await vms.active({ name: 'ungrafted' });
    const { id } = await snapshots.taken(vm, 'ungrafted-1');
    const image = (await snapshots.send('POST', `snapshots/${id}/image`, { name: 'graft' })).body;
    const refused = await snapshots.send('POST', 'volumes', { name: 'grafted', environment_name: 'demo', size: 10, volume_type: 'Cloud-SSD', image_id: image.id });
    expect(refused.status).toBe(400);
    expect(refused.body.message).toContain('is of a snapshot');
  });
});
