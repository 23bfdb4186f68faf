/** A VM's change to another flavor: claims moved by the difference, the guest made anew, races and failures. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { fsck } from '../src/conductor/admin/fsck.js';
import type { IncarnationId } from '../src/protocol/ids.js';
import { startCloud, type Answer, type Cloud, type Json } from './support/cloud.js';
import { eventually } from './support/eventually.js';
import { VmClient } from './support/vm-client.js';

const GPU = 'L40';

let cloud: Cloud;
let vms: VmClient;

beforeAll(async () => {
  cloud = await startCloud({ capacity: { cpus: 8, memoryMib: 8192, diskGib: 60 }, gpus: [{ model: GPU, count: 1 }] });
  vms = new VmClient(cloud);
  await cloud.database.query(
    `INSERT INTO flavor (region_id, name, cpu, ram_mib, disk, gpu, gpu_count)
     SELECT id, f.name, f.cpu, f.ram, f.disk, f.gpu, f.gpus
       FROM region, (VALUES ('twice', 2, 512, 1, '', 0), ('wide', 2, 512, 5, '', 0), ('most', 1, 6144, 1, '', 0),
                            ('huge', 4, 65536, 5, '', 0), ('gpu', 1, 256, 1, '${GPU}', 1)) AS f(name, cpu, ram, disk, gpu, gpus)`,
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

const resize = (id: number | string, flavor: string, client = vms): Promise<Answer> =>
  client.send('POST', `/${id}/resize`, { flavor_name: flavor });

const domainOf = async (vm: Json) => {
  const [{ id }] = await cloud.database.query<[{ id: IncarnationId }]>('SELECT id FROM incarnation WHERE virtual_machine_id = $1', [vm.id]);
  return cloud.nodes[0]!.hypervisor.domain({ vmUuid: vm.uuid, incarnationId: id });
};

describe('a VM', () => {
  it('that runs gets another flavor and runs again, made of it', async () => {
    const vm = await vms.active({ name: 'growing' });
    expect((await resize(vm.id, 'wide')).body).toEqual({ status: true, message: 'Resizing VM growing' });
    const resized = await vms.reaches(vm.id, 'ACTIVE');
    expect(resized).toMatchObject({ fixed_ip: vm.fixed_ip, flavor: { name: 'wide', cpu: 2, ram: 0.5, disk: 5 } });
    expect(await domainOf(vm)).toMatchObject({ state: 'running', hardware: { vcpus: 2, memoryMib: 512, diskGib: 5 } });
    expect(await used()).toEqual({ vcpus: 2, memory: 512, disk: 5, gpus: 0 });
    const { instance_events: events } = (await vms.get(`/${vm.id}/events`)).body;
    expect(events.slice(-2).map(({ reason }: { reason: string }) => reason)).toEqual(['InstanceResizeRequest', 'InstanceResizeSuccess']);
  });

  it('that is off gets another flavor and stays off', async () => {
    const vm = await vms.active({ name: 'resting' });
    await vms.get(`/${vm.id}/stop`);
    await vms.reaches(vm.id, 'SHUTOFF');
    expect((await resize('demo/resting', 'twice')).status).toBe(200);
    await vms.reaches(vm.id, 'SHUTOFF');
    expect(await domainOf(vm)).toMatchObject({ state: 'stopped', hardware: { vcpus: 2 } });
    await vms.get(`/${vm.id}/start`);
    await vms.reaches(vm.id, 'ACTIVE');
  });

  it('takes and gives back GPUs with its flavor', async () => {
    const vm = await vms.active({ name: 'learner' });
    await resize(vm.id, 'gpu');
    await vms.reaches(vm.id, 'ACTIVE');
    expect((await used()).gpus).toBe(1);
    const other = await vms.active({ name: 'envious' });
    expect((await resize(other.id, 'gpu')).status).toBe(409);
    await resize(vm.id, 'tiny-1');
    await vms.reaches(vm.id, 'ACTIVE');
    expect((await used()).gpus).toBe(0);
    expect((await domainOf(vm))?.hardware?.gpu).toBeUndefined();
  });

  it('leaves all sums as they were after a hundred resizes to and fro', async () => {
    const vm = await vms.active({ name: 'restless' });
    const before = await used();
    for (let round = 0; round < 50; round++)
      for (const flavor of ['twice', 'tiny-1']) {
        expect((await resize(vm.id, flavor)).status).toBe(200);
        await vms.reaches(vm.id, 'ACTIVE');
      }
    expect(await used()).toEqual(before);
    expect(await fsck(cloud.database)).toEqual([]);
  }, 120_000);

  it.each([
    ['a flavor that there is not', 'unheard-of', 404, 'was not found'],
    ['the flavor that it has', 'wide', 400, 'has the flavor wide already'],
    ['a smaller disk', 'tiny-1', 400, 'a disk can only grow'],
    ['more than its node has', 'huge', 409, 'no room'],
  ])('is refused %s, and stays as it is', async (_what, flavor, status, words) => {
    const vm = await vms.active({ name: 'steady', flavor_name: 'wide' });
    const before = await used();
    const refused = await resize(vm.id, flavor);
    expect([refused.status, refused.body.message]).toEqual([status, expect.stringContaining(words)]);
    expect((await vms.get(`/${vm.id}`)).body.instance).toMatchObject({ status: 'ACTIVE', flavor: { name: 'wide' } });
    expect(await used()).toEqual(before);
  });

  it('is resized only when it is ACTIVE or SHUTOFF, by its owner, and with a name', async () => {
    const vm = await vms.active({ name: 'private' });
    expect((await resize(vm.id, 'twice', new VmClient(cloud, cloud.other))).status).toBe(404);
    expect((await vms.send('POST', `/${vm.id}/resize`, {})).status).toBe(400);
    await vms.get(`/${vm.id}/hibernate`);
    await vms.reaches(vm.id, 'HIBERNATED');
    expect((await resize(vm.id, 'twice')).body.message).toBe('private is HIBERNATED; resize is possible when it is ACTIVE or SHUTOFF.');
  });

  it('is resized once when twenty requests come at once', async () => {
    const vm = await vms.active({ name: 'wanted' });
    cloud.nodes[0]!.hypervisor.misbehaviours = { stop: { kind: 'slow', ms: 500 } };
    const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => resize(vm.id, n % 2 === 0 ? 'twice' : 'wide')));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, ...Array.from({ length: 19 }, () => 400)]);
    await vms.reaches(vm.id, 'ACTIVE');
    expect(await used()).toMatchObject({ vcpus: 2, memory: 512 });
  });

  it('gets the last room, or another does, but never both', async () => {
    const [one, two] = [await vms.active({ name: 'one' }), await vms.active({ name: 'two' })];
    const answers = await Promise.all([resize(one.id, 'most'), resize(two.id, 'most')]);
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409]);
    for (const { id } of [one, two]) await vms.reaches(id, 'ACTIVE');
    expect(await used()).toMatchObject({ memory: 6144 + 256 });
  });

  it('can be deleted while it is resized, and nothing of it is left', async () => {
    for (const call of ['stop', 'define', 'start'] as const) {
      const vm = await vms.active({ name: `undecided-${call}` });
      cloud.nodes[0]!.hypervisor.misbehaviours = { [call]: { kind: 'slow', ms: 300 } };
      await resize(vm.id, 'twice');
      expect((await vms.get(`/${vm.id}`)).body.instance.status).toBe('RESIZING');
      expect((await vms.delete(`/${vm.id}`)).status).toBe(200);
      await vms.gone(vm.id);
      cloud.nodes[0]!.hypervisor.misbehaviours = {};
    }
    expect(await cloud.nodes[0]!.hypervisor.inventory()).toEqual([]);
  });

  it.each(['define', 'start'] as const)('whose node fails to %s it is in ERROR with the reason, keeps its disk, and a hard reboot tries again', async (call) => {
    const vm = await vms.active({ name: 'unlucky' });
    cloud.nodes[0]!.hypervisor.misbehaviours = { [call]: { kind: 'failing' } };
    await resize(vm.id, 'twice');
    expect((await vms.reaches(vm.id, 'ERROR')).fault).toContain(`fail to ${call}`);
    expect(await domainOf(vm)).toMatchObject({ state: 'stopped' });
    cloud.nodes[0]!.hypervisor.misbehaviours = {};
    await vms.get(`/${vm.id}/hard-reboot`);
    await vms.reaches(vm.id, 'ACTIVE');
    expect(await domainOf(vm)).toMatchObject({ state: 'running', hardware: { vcpus: 2 } });
  });

  it('is not restarted by a task of its resize that comes again', async () => {
    const vm = await vms.active({ name: 'repeated' });
    await resize(vm.id, 'twice');
    await vms.reaches(vm.id, 'ACTIVE');
    const { hypervisor } = cloud.nodes[0]!;
    hypervisor.misbehaviours = { stop: { kind: 'failing' } };
    await cloud.database.query(
      `UPDATE task SET state = 'pending', available_at = now(), finished_at = NULL
        WHERE id = (SELECT id FROM task WHERE virtual_machine_id = $1 ORDER BY generation DESC LIMIT 1)`,
      [vm.id],
    );
    await eventually(async () =>
      expect(await cloud.database.query('SELECT FROM task WHERE virtual_machine_id = $1 AND finished_at IS NULL', [vm.id])).toEqual([]),
    );
    expect((await vms.get(`/${vm.id}`)).body.instance).toMatchObject({ status: 'ACTIVE', fault: null });
    expect(await domainOf(vm)).toMatchObject({ state: 'running', hardware: { vcpus: 2 } });
  });
});

describe('the callback of a VM', () => {
  const URL = 'https://example.org/hook';

  it('is attached, replaced and removed', async () => {
    const vm = await vms.active({ name: 'talker' });
    const shown = async (): Promise<string | null> => (await vms.get(`/${vm.id}`)).body.instance.callback_url;
    expect((await vms.send('POST', `/${vm.id}/attach-callback`, { url: URL })).body).toEqual({
      status: true,
      message: 'Callback attached to VM talker',
      url: URL,
    });
    expect(await shown()).toBe(URL);
    expect((await vms.send('PUT', '/demo/talker/update-callback', { url: `${URL}2` })).body.url).toBe(`${URL}2`);
    expect(await shown()).toBe(`${URL}2`);
    expect((await vms.send('DELETE', `/${vm.id}/delete-callback`)).body).toEqual({ status: true, message: 'Callback of VM talker deleted' });
    expect(await shown()).toBeNull();
  });

  it('is refused where it contradicts what there is, leads nowhere or is not the caller\'s', async () => {
    const vm = await vms.active({ name: 'quiet' });
    for (const [method, path, body] of [
      ['PUT', 'update-callback', { url: URL }],
      ['DELETE', 'delete-callback', undefined],
      ['POST', 'attach-callback', { url: 'http://169.254.169.254/' }],
      ['POST', 'attach-callback', { url: `https://example.org/${'x'.repeat(250)}` }],
      ['POST', 'attach-callback', {}],
      ['POST', 'attach-callback', { url: URL, more: 1 }],
    ] as const)
      expect([path, (await vms.send(method, `/${vm.id}/${path}`, body)).status]).toEqual([path, 400]);
    await vms.send('POST', `/${vm.id}/attach-callback`, { url: URL });
    expect((await vms.send('POST', `/${vm.id}/attach-callback`, { url: URL })).status).toBe(400);
    const stranger = new VmClient(cloud, cloud.other);
    expect((await stranger.send('PUT', `/${vm.id}/update-callback`, { url: URL })).status).toBe(404);
    // The receiver of this URL does not exist: nothing more shall be told to it.
    await vms.send('DELETE', `/${vm.id}/delete-callback`);
  });
});
