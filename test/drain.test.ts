/** Taking a node out of service for maintenance, and back. */
import { afterEach, describe, expect, it } from '@jest/globals';
import { fsck } from '../src/conductor/admin/fsck.js';
import { drainNode, drainProgress, undrainNode } from '../src/conductor/fleet/node-drain.js';
import { startCloud, type Answer, type Cloud, type CloudOptions, type Json } from './support/cloud.js';
import { eventually } from './support/eventually.js';
import { VmClient } from './support/vm-client.js';

const OPERATOR_KEY = 'operator-key-of-the-test-fleet';

let cloud: Cloud;
let vms: VmClient;

async function start(options: CloudOptions = {}): Promise<void> {
  cloud = await startCloud({ ...options, settings: { BATON_OPERATOR_KEY: OPERATOR_KEY, ...options.settings } });
  vms = new VmClient(cloud);
}

afterEach(async () => {
  await eventually(async () => expect(await fsck(cloud.database)).toEqual([])).finally(() => cloud.stop());
});

const placedOn = async (node: string): Promise<number> =>
  (
    await cloud.database.query(
      `SELECT count(*)::int AS count FROM incarnation i JOIN compute_node n ON n.id = i.compute_node_id
        WHERE n.name = $1 AND i.ended_at IS NULL`,
      [node],
    )
  )[0].count;

const operator = (method: string, path: string, body?: object, key = OPERATOR_KEY): Promise<Answer> =>
  cloud.request(method, `/admin/nodes${path}`, body, { authorization: `Bearer ${key}` });

const drain = (stopVms: boolean) => drainNode(cloud.database, 'node-1', { stopVms });

describe('a node that is drained', () => {
  it('gets no VM any more, not even of requests that are under way, and keeps those that it has', async () => {
    await start({ nodes: 2, conductors: 2 });
    const before = await Promise.all(Array.from({ length: 10 }, () => vms.post({})));
    const under = Array.from({ length: 40 }, () => vms.post({}));
    await drain(false);
    const held = await placedOn('node-1');
    for (const { status } of [...before, ...(await Promise.all(under))]) expect(status).toBe(200);
    const after = await Promise.all(Array.from({ length: 10 }, () => vms.post({})));
    expect(await placedOn('node-1')).toBe(held);
    expect(held).toBeGreaterThan(0);
    for (const { body } of [...before, ...after]) await vms.reaches(body.instances[0].id, 'ACTIVE');
  });

  it('says to whom it refuses a VM that it would have had room for', async () => {
    await start();
    await drain(false);
    const { status, body } = await vms.post({});
    expect(status).toBe(409);
    expect(body.message).toContain('1 is draining');
  });

  it('stops its VMs where that is asked for, starts none, and starts them again when it is back in service', async () => {
    await start({ bootMs: 50 });
    const running = await vms.active({});
    const stopped = await vms.active({});
    await vms.send('GET', `/${stopped.id}/stop`);
    await vms.reaches(stopped.id, 'SHUTOFF');
    const onItsWay = (await vms.post({})).body.instances[0];
    await drain(true);
    for (const { id } of [running, onItsWay]) await vms.reaches(id, 'SHUTOFF');
    const progress = await drainProgress(cloud.database, 'node-1');
    expect(progress).toEqual({ name: 'node-1', state: 'draining, VMs are stopped', vms: { SHUTOFF: 3 }, stoppedByDrain: 2, volumes: 0 });

    const refused = await vms.send('GET', `/${stopped.id}/start`);
    expect(refused.status).toBe(409);
    expect(refused.body.message).toContain('is being emptied for maintenance');

    await undrainNode(cloud.database, 'node-1');
    for (const { id } of [running, onItsWay]) await vms.reaches(id, 'ACTIVE');
    expect((await vms.get(`/${stopped.id}`)).body.instance.status).toBe('SHUTOFF');
    const { instance_events: events } = (await vms.get(`/${running.id}/events`)).body;
    expect(events.map(({ reason, user_id }: Json) => [reason, user_id === null]).slice(-4)).toEqual([
      ['InstanceStopRequest', true],
      ['InstanceStopSuccess', true],
      ['InstanceStartRequest', true],
      ['InstanceStartSuccess', true],
    ]);
  });

  it('lets its VMs be deleted, and does not start what its owner has asked something else of', async () => {
    await start();
    const [kept, doomed] = [await vms.active({}), await vms.active({})];
    await drain(true);
    for (const { id } of [kept, doomed]) await vms.reaches(id, 'SHUTOFF');
    await vms.delete(`/${doomed.id}`);
    await vms.gone(doomed.id);
    await undrainNode(cloud.database, 'node-1');
    await vms.reaches(kept.id, 'ACTIVE');
  });
});

describe('operators over REST', () => {
  it('see nodes, drain them and take them back', async () => {
    await start();
    const vm = await vms.active({});
    expect((await operator('POST', '/node-1/drain', { stop: true })).body.node).toMatchObject({ state: 'draining, VMs are stopped' });
    await vms.reaches(vm.id, 'SHUTOFF');
    expect((await operator('GET', '')).body.nodes).toMatchObject([{ name: 'node-1', vms: { SHUTOFF: 1 } }]);
    expect((await operator('POST', '/node-1/undrain')).body.node).toMatchObject({ state: 'in service' });
    await vms.reaches(vm.id, 'ACTIVE');
    expect((await operator('GET', '/nowhere')).status).toBe(404);
    expect((await operator('POST', '/nowhere/drain', {})).status).toBe(404);
    expect((await operator('POST', '/node-1/drain', { stop: 'yes' })).status).toBe(400);
  });

  it('need the operator key, which opens nothing else; nor does any other key open this', async () => {
    await start();
    for (const key of [cloud.demo.key, 'a-key-that-nobody-made-anywhere', '']) {
      expect((await operator('GET', '', undefined, key)).status).toBe(401);
      expect((await operator('POST', '/node-1/drain', {}, key)).status).toBe(401);
    }
    expect((await cloud.request('GET', '/v1/core/virtual-machines', undefined, { api_key: OPERATOR_KEY })).status).toBe(401);
    expect(await drainProgress(cloud.database, 'node-1')).toMatchObject({ state: 'in service' });
  });

  it('are refused where no operator key is configured', async () => {
    cloud = await startCloud();
    expect((await operator('GET', '')).status).toBe(401);
  });
});
