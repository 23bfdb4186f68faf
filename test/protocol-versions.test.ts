/** Old and new side by side: what a worker of each version that ever was meets at today's conductor. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { readdirSync } from 'node:fs';
import { fsck } from '../src/conductor/admin/fsck.js';
import { decodeTask, decodeTaskOfAnyVersion, UnreadableTaskError } from '../src/messaging/task-message.js';
import { PROTOCOL_VERSION, SERVED_PROTOCOLS } from '../src/protocol/task.js';
import { startCloud, type Cloud, type Json } from './support/cloud.js';
import { eventually } from './support/eventually.js';
import { PinnedWorker, recorded } from './support/pinned-worker.js';
import { VmClient } from './support/vm-client.js';

const pinned = readdirSync(new URL('fixtures/protocol/', import.meta.url)).map((file) => Number(/^version-(\d+)\.json$/.exec(file)?.[1]));
const refused = pinned.filter((version) => !SERVED_PROTOCOLS.includes(version));

const asMessage = (task: Json): Buffer => Buffer.from(JSON.stringify(task));

describe('the versions of the protocol', () => {
  it('are pinned, each from the first to the present one', () => {
    expect(pinned.sort()).toEqual(Array.from({ length: PROTOCOL_VERSION }, (_, index) => index + 1));
  });

  it('that are served are the present one and, from 3 on, the one before', () => {
    expect(SERVED_PROTOCOLS).toEqual(PROTOCOL_VERSION < 3 ? [PROTOCOL_VERSION] : [PROTOCOL_VERSION, PROTOCOL_VERSION - 1]);
  });

  it('hold: every task that was recorded of the present one is read today as it was written', () => {
    for (const task of Object.values(recorded(PROTOCOL_VERSION).tasks)) expect(decodeTask(asMessage(task))).toEqual(task);
  });

  it.each(pinned.filter((version) => version !== PROTOCOL_VERSION))(
    'are told apart: a task of version %d is refused by a worker of today, and understood as a dead letter',
    (version) => {
      for (const task of Object.values(recorded(version).tasks)) {
        expect(() => decodeTask(asMessage(task))).toThrow(UnreadableTaskError);
        expect(decodeTaskOfAnyVersion(asMessage(task))).toEqual(task);
      }
    },
  );
});

describe('at a conductor of today', () => {
  let cloud: Cloud;
  let vms: VmClient;
  let worker: PinnedWorker | undefined;

  beforeEach(async () => {
    cloud = await startCloud({ nodes: 0, floatingIps: ['198.51.100.10'] });
    vms = new VmClient(cloud);
  });
  afterEach(async () => {
    await eventually(async () => expect(await fsck(cloud.database)).toEqual([])).finally(async () => {
      await worker?.stop();
      await cloud.stop();
    });
  });

  it.each(SERVED_PROTOCOLS)('a worker of version %d creates, stops, starts and deletes virtual machines', async (version) => {
    worker = new PinnedWorker(cloud, version);
    await worker.start('old-node');
    const vm = await vms.active({ name: 'web', assign_floating_ip: true });
    await vms.send('GET', `/${vm.id}/stop`);
    await vms.reaches(vm.id, 'SHUTOFF');
    await vms.send('GET', `/${vm.id}/start`);
    await vms.reaches(vm.id, 'ACTIVE');
    await vms.delete(`/${vm.id}`);
    await vms.gone(vm.id);
    expect([...worker.missing]).toEqual([]);
  });

  it.each(refused)('a worker of version %d is refused when it registers, and told what to do', async (version) => {
    worker = new PinnedWorker(cloud, version);
    const { status, body } = await worker.register('old-node');
    expect({ status, message: body.message }).toEqual({
      status: 400,
      message: `Node old-node speaks version ${version} of the protocol, and the conductor ${SERVED_PROTOCOLS.join(' and ')}. Update Baton on that node.`,
    });
    expect(await cloud.database.query('SELECT name FROM compute_node')).toEqual([]);
  });

  it('a worker that is newer is refused as well: its conductors come first', async () => {
    const { register } = recorded(PROTOCOL_VERSION);
    const bearer = { authorization: 'Bearer join-token-of-the-test-fleet' };
    const { status, body } = await cloud.request('POST', '/compute/register', { ...register, protocolVersion: PROTOCOL_VERSION + 1 }, bearer);
    expect(status).toBe(400);
    expect(body.message).toContain('Update Baton on the conductors first');
  });
});
