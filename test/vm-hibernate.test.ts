/** Hibernation and the way back: status, claims, floating IPs, and the races for what was given back. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { fsck } from '../src/conductor/admin/fsck.js';
import type { IncarnationId } from '../src/protocol/ids.js';
import { WebhookReceiver } from './fixtures/webhook-receiver.js';
import { startCloud, type Cloud, type Json } from './support/cloud.js';
import { eventually } from './support/eventually.js';
import { VmClient } from './support/vm-client.js';

const GPU = 'L40';
const SIX_GIB = 6 * 1024;

let cloud: Cloud;
let vms: VmClient;

beforeAll(async () => {
  cloud = await startCloud({
    bootMs: 20,
    capacity: { cpus: 8, memoryMib: 8192, diskGib: 100 },
    gpus: [{ model: GPU, count: 1 }],
    floatingIps: ['203.0.113.1', '203.0.113.2'],
    settings: { BATON_EGRESS_ALLOW: '127.0.0.0/8' },
  });
  vms = new VmClient(cloud);
  await cloud.database.query(
    `INSERT INTO flavor (region_id, name, cpu, ram_mib, disk, gpu, gpu_count)
     SELECT id, f.name, 1, f.ram, 1, f.gpu, f.gpus FROM region, (VALUES ('most', ${SIX_GIB}, '', 0), ('gpu', 256, '${GPU}', 1)) AS f(name, ram, gpu, gpus)`,
  );
});

afterEach(async () => {
  cloud.nodes[0]!.hypervisor.misbehaviours = {};
  for (const { id } of (await vms.get('')).body.instances) {
    await eventually(async () => expect((await vms.delete(`/${id}`)).status).toBe(200));
    await vms.gone(id);
  }
  expect(await fsck(cloud.database)).toEqual([]);
  expect(await used()).toEqual({ vcpus: 0, memory: 0, disk: 0, gpus: 0 });
});

afterAll(() => cloud.stop());

const used = async (): Promise<Json> =>
  (
    await cloud.database.query(
      `SELECT vcpus_used AS vcpus, memory_mib_used AS memory, disk_gib_used AS disk, g.used AS gpus
         FROM compute_node n JOIN compute_node_gpu g ON g.compute_node_id = n.id`,
    )
  )[0];

const hibernated = async (id: number, query = ''): Promise<Json> => {
  expect((await vms.get(`/${id}/hibernate${query}`)).status).toBe(200);
  return await vms.reaches(id, 'HIBERNATED');
};

const domainOf = async (vm: Json) => {
  const [{ id }] = await cloud.database.query<[{ id: IncarnationId }]>('SELECT id FROM incarnation WHERE virtual_machine_id = $1', [vm.id]);
  return cloud.nodes[0]!.hypervisor.domain({ vmUuid: vm.uuid, incarnationId: id });
};

describe('a VM', () => {
  it('is hibernated and restored, with its address, and is told of by events', async () => {
    const vm = await vms.active({ name: 'bear' });
    expect((await vms.get(`/${vm.id}/hibernate`)).body).toEqual({ status: true, message: 'Hibernating VM bear' });
    const asleep = await vms.reaches(vm.id, 'HIBERNATED');
    expect(asleep).toMatchObject({
      power_state: 'HIBERNATED',
      vm_state: 'hibernated',
      fixed_ip: vm.fixed_ip,
      allowed_actions: ['hibernate-restore', 'delete'],
    });
    expect((await domainOf(vm))?.state).toBe('hibernated');

    expect((await vms.get('/demo/bear/hibernate-restore')).body).toEqual({ status: true, message: 'Restoring VM bear' });
    expect(await vms.reaches(vm.id, 'ACTIVE')).toMatchObject({ power_state: 'RUNNING', vm_state: 'active', fixed_ip: vm.fixed_ip });
    const { instance_events: events } = (await vms.get(`/${vm.id}/events`)).body;
    expect(events.slice(-4).map(({ reason }: { reason: string }) => reason)).toEqual([
      'HibernateInstanceRequest',
      'HibernateInstanceSuccess',
      'RestoreHibernationInstanceRequest',
      'RestoreHibernationInstanceSuccess',
    ]);
  });

  it('gives CPU, memory and GPUs back while it is hibernated, keeps its disk, and takes all again', async () => {
    const vm = await vms.active({ name: 'costly', flavor_name: 'gpu' });
    const whole = { vcpus: 1, memory: 256, disk: 1, gpus: 1 };
    expect(await used()).toEqual(whole);
    await hibernated(vm.id);
    expect(await used()).toEqual({ vcpus: 0, memory: 0, disk: 1, gpus: 0 });
    expect(await fsck(cloud.database)).toEqual([]);
    await vms.get(`/${vm.id}/hibernate-restore`);
    await vms.reaches(vm.id, 'ACTIVE');
    expect(await used()).toEqual(whole);
  });

  it('is hibernated only when it is ACTIVE, and restored only when it is HIBERNATED', async () => {
    const vm = await vms.active({ name: 'awake' });
    const early = await vms.get(`/${vm.id}/hibernate-restore`);
    expect([early.status, early.body.message]).toEqual([400, 'awake is ACTIVE; hibernate-restore is possible when it is HIBERNATED.']);
    await hibernated(vm.id);
    for (const action of ['hibernate', 'start', 'stop', 'hard-reboot']) expect((await vms.get(`/${vm.id}/${action}`)).status).toBe(400);
    expect((await vms.get(`/${vm.id}/hibernate?retain_ip=perhaps`)).status).toBe(400);
  });

  it('of another organization is not found', async () => {
    const vm = await vms.active({ name: 'private' });
    const stranger = new VmClient(cloud, cloud.other);
    for (const path of [`/${vm.id}/hibernate`, '/demo/private/hibernate', `/${vm.id}/hibernate-restore`])
      expect((await stranger.get(path)).status).toBe(404);
  });

  it('tells its callback of each step, by the names that receivers know', async () => {
    const receiver = await WebhookReceiver.start();
    try {
      const vm = await vms.active({ name: 'teller' });
      await vms.send('POST', `/${vm.id}/attach-callback`, { url: receiver.url('/hook') });
      await hibernated(vm.id);
      await vms.get(`/${vm.id}/hibernate-restore`);
      await vms.reaches(vm.id, 'ACTIVE');
      const told = await eventually(async () => {
        const operations = receiver.requests.map(({ body }) => JSON.parse(body).operation);
        expect(operations).toHaveLength(4);
        return operations;
      });
      expect(told).toEqual([
        { name: 'shelveInstances', status: 'HIBERNATING' },
        { name: 'shelveInstances', status: 'HIBERNATED' },
        { name: 'unshelveInstances', status: 'RESTORING' },
        { name: 'unshelveInstances', status: 'ACTIVE' },
      ]);
    } finally {
      await receiver.stop();
    }
  });

  it('can be deleted while it is hibernated, on its way there, and on its way back', async () => {
    const { hypervisor } = cloud.nodes[0]!;
    for (const moment of ['HIBERNATED', 'HIBERNATING', 'RESTORING']) {
      const vm = await vms.active({ name: moment.toLowerCase() });
      if (moment !== 'HIBERNATING') await hibernated(vm.id);
      hypervisor.misbehaviours = { hibernate: { kind: 'slow', ms: 300 }, start: { kind: 'slow', ms: 300 } };
      if (moment === 'HIBERNATING') await vms.get(`/${vm.id}/hibernate`);
      if (moment === 'RESTORING') await vms.get(`/${vm.id}/hibernate-restore`);
      expect((await vms.get(`/${vm.id}`)).body.instance.status).toBe(moment);
      expect((await vms.delete(`/${vm.id}`)).status).toBe(200);
      await vms.gone(vm.id);
      hypervisor.misbehaviours = {};
    }
    expect(await hypervisor.inventory()).toEqual([]);
  });

  it('is not disturbed by a task that comes again', async () => {
    const vm = await vms.active({ name: 'repeated' });
    await hibernated(vm.id);
    const again = async (): Promise<void> => {
      await cloud.database.query(
        `UPDATE task SET state = 'pending', available_at = now(), finished_at = NULL
          WHERE id = (SELECT id FROM task WHERE virtual_machine_id = $1 ORDER BY generation DESC LIMIT 1)`,
        [vm.id],
      );
      await eventually(async () =>
        expect(await cloud.database.query(`SELECT FROM task WHERE virtual_machine_id = $1 AND finished_at IS NULL`, [vm.id])).toEqual([]),
      );
    };
    await again();
    expect((await vms.get(`/${vm.id}`)).body.instance.status).toBe('HIBERNATED');
    expect((await domainOf(vm))?.state).toBe('hibernated');
    await vms.get(`/${vm.id}/hibernate-restore`);
    await vms.reaches(vm.id, 'ACTIVE');
    await again();
    expect((await domainOf(vm))?.state).toBe('running');
  });

  it('that cannot be hibernated is in ERROR with the reason, keeps its claim, and runs again after a hard reboot', async () => {
    const vm = await vms.active({ name: 'restless' });
    cloud.nodes[0]!.hypervisor.misbehaviours = { hibernate: { kind: 'failing' } };
    await vms.get(`/${vm.id}/hibernate`);
    expect((await vms.reaches(vm.id, 'ERROR')).fault).toContain('fail to hibernate');
    expect(await used()).toMatchObject({ vcpus: 1, memory: 256 });
    await vms.get(`/${vm.id}/hard-reboot`);
    await vms.reaches(vm.id, 'ACTIVE');
  });

  it('that cannot be restored is in ERROR with its claim, and a stop makes it bootable again', async () => {
    const vm = await vms.active({ name: 'damaged' });
    await hibernated(vm.id);
    cloud.nodes[0]!.hypervisor.misbehaviours = { start: { kind: 'failing' } };
    await vms.get(`/${vm.id}/hibernate-restore`);
    await vms.reaches(vm.id, 'ERROR');
    expect(await used()).toMatchObject({ vcpus: 1, memory: 256 });
    cloud.nodes[0]!.hypervisor.misbehaviours = {};
    await vms.get(`/${vm.id}/stop`);
    await vms.reaches(vm.id, 'SHUTOFF');
    expect((await domainOf(vm))?.state).toBe('stopped');
    await vms.get(`/${vm.id}/start`);
    await vms.reaches(vm.id, 'ACTIVE');
  });
});

describe('the floating IP of a VM that is hibernated', () => {
  it('is given back, and another is assigned when the VM comes back', async () => {
    const vm = await vms.active({ name: 'public', assign_floating_ip: true });
    expect(vm.floating_ip).toBe('203.0.113.1');
    expect((await hibernated(vm.id)).floating_ip).toBeNull();
    const rival = await vms.active({ name: 'rival', assign_floating_ip: true });
    expect(rival.floating_ip).toBe('203.0.113.1');
    await vms.get(`/${vm.id}/hibernate-restore`);
    expect((await vms.reaches(vm.id, 'ACTIVE')).floating_ip).toBe('203.0.113.2');
    expect((await domainOf(vm))?.hardware?.floatingIp).toBe('203.0.113.2');
  });

  it('stays with retain_ip=true', async () => {
    const vm = await vms.active({ name: 'keeper', assign_floating_ip: true });
    expect((await hibernated(vm.id, '?retain_ip=true')).floating_ip).toBe(vm.floating_ip);
    await vms.get(`/${vm.id}/hibernate-restore`);
    expect((await vms.reaches(vm.id, 'ACTIVE')).floating_ip).toBe(vm.floating_ip);
  });

  it('that cannot be replaced keeps the VM hibernated, with nothing claimed', async () => {
    const vm = await vms.active({ name: 'late', assign_floating_ip: true });
    await hibernated(vm.id);
    const others = await vms.post({ name: 'early', count: 2, assign_floating_ip: true });
    for (const { id } of others.body.instances) await vms.reaches(id, 'ACTIVE');
    const before = await used();
    const refused = await vms.get(`/${vm.id}/hibernate-restore`);
    expect([refused.status, refused.body.message]).toEqual([409, expect.stringContaining('stays HIBERNATED')]);
    expect((await vms.get(`/${vm.id}`)).body.instance.status).toBe('HIBERNATED');
    expect(await used()).toEqual(before);
  });
});

describe('the room that a hibernated VM has left', () => {
  it('may be taken by others: the VM is told so, stays HIBERNATED, and comes back when there is room', async () => {
    const vm = await vms.active({ name: 'first', flavor_name: 'most' });
    await hibernated(vm.id);
    const other = await vms.active({ name: 'second', flavor_name: 'most' });
    const refused = await vms.get(`/${vm.id}/hibernate-restore`);
    expect([refused.status, refused.body.error_reason, refused.body.message]).toEqual([409, 'no_capacity', expect.stringContaining('no room')]);
    expect((await vms.get(`/${vm.id}`)).body.instance.status).toBe('HIBERNATED');
    await vms.delete(`/${other.id}`);
    await vms.gone(other.id);
    expect((await vms.get(`/${vm.id}/hibernate-restore`)).status).toBe(200);
    await vms.reaches(vm.id, 'ACTIVE');
  });

  it('goes to one of a creation and a restoration at the same moment', async () => {
    for (let round = 0; round < 5; round++) {
      const vm = await vms.active({ name: `sleeper-${round}`, flavor_name: 'most' });
      await hibernated(vm.id);
      const [restored, created] = await Promise.all([
        vms.get(`/${vm.id}/hibernate-restore`),
        vms.post({ name: `newcomer-${round}`, flavor_name: 'most' }),
      ]);
      expect([restored.status, created.status].sort()).toEqual([200, 409]);
      if (restored.status === 200) await vms.reaches(vm.id, 'ACTIVE');
      else await vms.reaches(created.body.instances[0].id, 'ACTIVE');
      expect(await fsck(cloud.database)).toEqual([]);
      for (const { id } of (await vms.get('')).body.instances) {
        await vms.delete(`/${id}`);
        await vms.gone(id);
      }
    }
  });

  it('is taken by as many of a label as fit, and the others are told', async () => {
    const ids: number[] = [];
    for (const name of ['a', 'b']) {
      const vm = await vms.active({ name, flavor_name: 'most', labels: ['herd'] });
      await hibernated(vm.id);
      ids.push(vm.id);
    }
    const { body } = await vms.get('/demo/labels/herd/hibernate-restore');
    expect(body.instances.map(({ accepted }: { accepted: boolean }) => accepted)).toEqual([true, false]);
    expect(body.instances[1].message).toContain('no room');
    await vms.reaches(ids[0]!, 'ACTIVE');
    expect((await vms.get('/demo/labels/herd/hibernate')).body.message).toBe('hibernate: 1 of 2 virtual machines with the label herd');
    await vms.reaches(ids[0]!, 'HIBERNATED');
  });

  it('is restored once, however often it is asked for at once', async () => {
    const vm = await vms.active({ name: 'popular' });
    await hibernated(vm.id);
    const answers = await Promise.all(Array.from({ length: 10 }, () => vms.get(`/${vm.id}/hibernate-restore`)));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    await vms.reaches(vm.id, 'ACTIVE');
    expect(await used()).toMatchObject({ vcpus: 1, memory: 256, disk: 1 });
  });
});
