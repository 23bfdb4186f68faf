/** Start, stop and hard-reboot: by id, by name, and for all that carry a label. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { fsck } from '../src/conductor/admin/fsck.js';
import { lockVmForCloud, lockVms } from '../src/conductor/virtual-machines/vm-wishes.js';
import type { OrganizationId, UserId } from '../src/protocol/ids.js';
import { startCloud, type Cloud } from './support/cloud.js';
import { VmClient } from './support/vm-client.js';

let cloud: Cloud;
let vms: VmClient;

beforeAll(async () => {
  cloud = await startCloud({ bootMs: 50 });
  vms = new VmClient(cloud);
});

afterAll(async () => {
  expect(await fsck(cloud.database)).toEqual([]);
  await cloud.stop();
});

const reasons = async (id: number): Promise<string[]> =>
  (await vms.get(`/${id}/events`)).body.instance_events.map((event: { reason: string }) => event.reason);

describe('a VM', () => {
  it('is stopped and started again, with its address', async () => {
    const vm = await vms.active({ name: 'worker' });
    expect((await vms.get(`/${vm.id}/stop`)).body).toEqual({ status: true, message: 'Stopping VM worker' });
    const stopped = await vms.reaches(vm.id, 'SHUTOFF');
    expect(stopped).toMatchObject({ power_state: 'SHUTDOWN', vm_state: 'stopped', allowed_actions: ['start', 'resize', 'delete'] });

    expect((await vms.get('/demo/worker/start')).body).toEqual({ status: true, message: 'Starting VM worker' });
    const started = await vms.reaches(vm.id, 'ACTIVE');
    expect(started).toMatchObject({ power_state: 'RUNNING', vm_state: 'active', fixed_ip: vm.fixed_ip });
    expect((await reasons(vm.id)).slice(-4)).toEqual([
      'InstanceStopRequest',
      'InstanceStopSuccess',
      'InstanceStartRequest',
      'InstanceStartSuccess',
    ]);
  });

  it('that somebody acts on is waited for by other actions, and not by what only refers to it', async () => {
    const { id } = await vms.active({ name: 'in-hand' });
    const [owner] = await cloud.database.query<[{ organization_id: OrganizationId; user_id: UserId }]>(
      'SELECT organization_id, user_id FROM virtual_machine WHERE id = $1',
      [id],
    );
    const principal = { organizationId: owner.organization_id, userId: owner.user_id };
    await cloud.database.transaction(async (transaction) => {
      expect(await lockVms(transaction, principal, { id })).toHaveLength(1);
      await cloud.database.transaction(async (another) => {
        await another.query(`SET LOCAL lock_timeout = '500ms'`);
        await another.query(
          `INSERT INTO event (organization_id, virtual_machine_id, user_id, time, reason, object, message)
           VALUES ($1, $2, $3, now(), 'InstanceStopSuccess', 'in-hand', 'Meanwhile.')`,
          [principal.organizationId, id, principal.userId],
        );
        expect(await lockVmForCloud(another, id)).toBeUndefined();
        await expect(lockVms(another, principal, { id })).rejects.toMatchObject({ driverError: { code: '55P03' } });
      });
    });
  });

  it('is reset once for each hard reboot, and not again when its task comes twice', async () => {
    const vm = await vms.active({ name: 'stuck' });
    expect((await vms.get(`/${vm.id}/hard-reboot`)).body.message).toBe('Rebooting VM stuck');
    await vms.reaches(vm.id, 'ACTIVE');
    const before = await reasons(vm.id);
    expect(before.slice(-2)).toEqual(['InstanceRebootRequest', 'InstanceRebootSuccess']);

    await cloud.database.query(
      `UPDATE task SET state = 'pending', available_at = now(), finished_at = NULL WHERE virtual_machine_id = $1`,
      [vm.id],
    );
    await vms.get(`/${vm.id}/stop`);
    await vms.reaches(vm.id, 'SHUTOFF');
    expect((await reasons(vm.id)).slice(before.length)).toEqual(['InstanceStopRequest', 'InstanceStopSuccess']);
  });

  it('can be deleted while it reboots', async () => {
    const vm = await vms.active({ name: 'undecided' });
    await vms.get(`/${vm.id}/hard-reboot`);
    expect((await vms.delete(`/${vm.id}`)).status).toBe(200);
    await vms.gone(vm.id);
  });

  it.each([
    ['start', 'ACTIVE', 'SHUTOFF'],
    ['stop', 'SHUTOFF', 'ACTIVE or ERROR'],
    ['hard-reboot', 'SHUTOFF', 'ACTIVE or ERROR'],
  ])('refuses %s when it is %s, and says when it is possible', async (action, status, possible) => {
    const vm = await vms.active({ name: `no-${action}` });
    if (status === 'SHUTOFF') {
      await vms.get(`/${vm.id}/stop`);
      await vms.reaches(vm.id, 'SHUTOFF');
    }
    const refused = await vms.get(`/${vm.id}/${action}`);
    expect(refused.status).toBe(400);
    expect(refused.body).toEqual({
      status: false,
      message: `no-${action} is ${status}; ${action} is possible when it is ${possible}.`,
      error_reason: 'bad_request',
    });
  });

  it('of another organization is not found by any action', async () => {
    const vm = await vms.active({ name: 'private' });
    const stranger = new VmClient(cloud, cloud.other);
    for (const path of [`/${vm.id}/stop`, '/demo/private/stop', `/${vm.id}/hard-reboot`])
      expect((await stranger.get(path)).status).toBe(404);
    expect((await stranger.send('PUT', `/${vm.id}/label`, { labels: ['mine'] })).status).toBe(404);
    expect((await vms.get(`/${vm.id}`)).body.instance).toMatchObject({ status: 'ACTIVE', labels: [] });
  });
});

describe('a label', () => {
  it('stops and starts all that carry it, and tells which it could not', async () => {
    const { body } = await vms.post({ name: 'fleet', count: 3, labels: ['fleet'] });
    const ids = body.instances.map((vm: { id: number }) => vm.id) as number[];
    for (const id of ids) await vms.reaches(id, 'ACTIVE');
    await vms.get(`/${ids[0]}/stop`);
    await vms.reaches(ids[0]!, 'SHUTOFF');

    const stopped = (await vms.get('/demo/labels/fleet/stop')).body;
    expect(stopped.message).toBe('stop: 2 of 3 virtual machines with the label fleet');
    expect(stopped.instances.map((vm: { accepted: boolean }) => vm.accepted)).toEqual([false, true, true]);
    for (const id of ids) await vms.reaches(id, 'SHUTOFF');
    await vms.get('/demo/labels/fleet/start');
    for (const id of ids) await vms.reaches(id, 'ACTIVE');
  });

  it('set is replaced as a whole', async () => {
    const vm = await vms.active({ name: 'labelled', labels: ['a', 'b'] });
    const answer = await vms.send('PUT', `/${vm.id}/label`, { labels: ['b', 'c'] });
    expect(answer.body).toEqual({ status: true, message: 'labels for VM: labelled is set to: ["b","c"]' });
    expect((await vms.get(`/${vm.id}`)).body.instance.labels).toEqual(['b', 'c']);
    await vms.send('PUT', `/${vm.id}/label`, { labels: [] });
    expect((await vms.get(`/${vm.id}`)).body.instance.labels).toEqual([]);
  });
});
