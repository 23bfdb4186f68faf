/** Subnets of environments and addresses of VMs: unique, stable, given back, and refused when there are none left. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { fsck } from '../src/conductor/admin/fsck.js';
import type { IncarnationId } from '../src/protocol/ids.js';
import { startCloud, type Answer, type Cloud, type Json } from './support/cloud.js';
import { eventually } from './support/eventually.js';
import { VmClient } from './support/vm-client.js';

const ENVIRONMENTS = '/v1/core/environments';

let cloud: Cloud;
let vms: VmClient;

const subnetOf = async (environment: string): Promise<string | undefined> =>
  (await cloud.request('GET', ENVIRONMENTS)).body.environments.find(({ name }: Json) => name === environment)?.subnet;

const addressesOf = (vm: Json): Promise<{ node: string; mac: string }> =>
  cloud.database
    .query(`SELECT hardware->'network'->>'mac' AS mac, host(fixed_ip) AS node FROM virtual_machine WHERE id = $1`, [vm.id])
    .then(([row]) => row);

const domainOf = async (vm: Json) => {
  const rows = await cloud.database.query<[{ id: IncarnationId }]>('SELECT id FROM incarnation WHERE virtual_machine_id = $1 ORDER BY id', [vm.id]);
  return cloud.nodes[0]!.hypervisor.domain({ vmUuid: vm.uuid, incarnationId: rows.at(-1)!.id });
};

async function deleteAll(): Promise<void> {
  for (const { id } of (await vms.get('')).body.instances) {
    await eventually(async () => expect((await vms.delete(`/${id}`)).status).toBe(200));
    await vms.gone(id);
  }
}

const makeEnvironment = (name: string): Promise<Answer> => cloud.request('POST', ENVIRONMENTS, { name, region: 'default-1' });

describe('the address of a VM', () => {
  beforeAll(async () => {
    cloud = await startCloud({ conductors: 2 });
    vms = new VmClient(cloud);
  });

  afterEach(async () => {
    await deleteAll();
    expect(await fsck(cloud.database)).toEqual([]);
  });

  afterAll(() => cloud.stop());

  it('is hidden while the VM is CREATING, then that of its environment, its card and its domain', async () => {
    const { body } = await vms.post({ name: 'web' });
    expect(body.instances[0].fixed_ip).toBeNull();
    const vm = await vms.reaches(body.instances[0].id, 'ACTIVE');
    expect(await subnetOf('demo')).toBe('10.128.0.0/20');
    expect(vm.fixed_ip).toMatch(/^10\.128\.([0-9]|1[0-5])\.\d+$/);
    const octets = vm.fixed_ip.split('.').map((octet: string) => Number(octet).toString(16).padStart(2, '0'));
    expect((await addressesOf(vm)).mac).toBe(['02', '00', ...octets].join(':'));
    expect(await domainOf(vm)).toMatchObject({ fixedIp: vm.fixed_ip });
  });

  it('is nobody else\'s, however many are created at the same moment at several conductors', async () => {
    const clients = [vms, new VmClient(cloud, cloud.demo, 1)];
    const answers = await Promise.all(Array.from({ length: 12 }, (_, index) => clients[index % 2]!.post({ count: index % 3 === 0 ? 5 : 1 })));
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    const [{ vms: living, addresses }] = await cloud.database.query(
      `SELECT count(*)::int AS vms, count(DISTINCT fixed_ip)::int AS addresses FROM virtual_machine WHERE deleted_at IS NULL`,
    );
    expect({ living, addresses }).toEqual({ living: 28, addresses: 28 });
  });

  it('stays the same while it is stopped, started, hibernated, restored and resized', async () => {
    await cloud.database.query(
      `INSERT INTO flavor (region_id, name, cpu, ram_mib, disk, gpu, gpu_count) SELECT id, 'larger', 2, 512, 5, '', 0 FROM region`,
    );
    const vm = await vms.active({ name: 'settled' });
    const before = await addressesOf(vm);
    for (const [action, status] of [
      ['stop', 'SHUTOFF'],
      ['start', 'ACTIVE'],
      ['hibernate', 'HIBERNATED'],
      ['hibernate-restore', 'ACTIVE'],
    ] as const) {
      expect((await vms.get(`/${vm.id}/${action}`)).status).toBe(200);
      expect((await vms.reaches(vm.id, status)).fixed_ip).toBe(vm.fixed_ip);
    }
    expect((await vms.send('POST', `/${vm.id}/resize`, { flavor_name: 'larger' })).status).toBe(200);
    await eventually(async () => expect(await domainOf(vm)).toMatchObject({ state: 'running', fixedIp: vm.fixed_ip, hardware: { vcpus: 2 } }));
    await vms.reaches(vm.id, 'ACTIVE');
    expect(await addressesOf(vm)).toEqual(before);
  });

  it('is drawn again when another VM was faster', async () => {
    const [{ last_value }] = await cloud.database.query('SELECT last_value::int FROM fixed_ip_seq');
    const vm = await vms.active({ name: 'first' });
    // As if the numbers had gone all the way round: what is drawn next is the address that the first VM has.
    await cloud.database.query(`SELECT setval('fixed_ip_seq', $1)`, [last_value]);
    const second = await vms.active({ name: 'second' });
    expect(second.fixed_ip).not.toBe(vm.fixed_ip);
  });
});

describe('a subnet with room for five VMs, in a pool of three', () => {
  beforeAll(async () => {
    cloud = await startCloud({ settings: { BATON_NETWORK_POOL: '10.128.0.0/22', BATON_NETWORK_PREFIX: '24' } });
    vms = new VmClient(cloud);
    // demo and other have one each of the default size: theirs are made as small as the test needs them.
    await cloud.database.query(`UPDATE environment SET subnet = '10.128.0.0/29' WHERE name = 'demo'`);
    await cloud.database.query(`UPDATE environment SET subnet = '10.128.1.0/24' WHERE name = 'other'`);
  });

  afterEach(async () => {
    await deleteAll();
    expect(await fsck(cloud.database)).toEqual([]);
  });

  afterAll(() => cloud.stop());

  it('refuses the sixth in clear words and makes nothing of it, and has room again when one is gone', async () => {
    expect((await vms.post({ count: 4 })).status).toBe(200);
    const refused = await vms.post({ count: 2 });
    expect({ status: refused.status, reason: refused.body.error_reason }).toEqual({ status: 409, reason: 'no_capacity' });
    expect(refused.body.message).toContain('The subnet 10.128.0.0/29 of environment demo has 1 addresses free, and 2 are needed');
    expect(await vms.count()).toBe(4);
    const fifth = await vms.active({ name: 'fifth' });
    expect((await vms.post({ name: 'sixth' })).status).toBe(409);
    expect((await vms.delete(`/${fifth.id}`)).status).toBe(200);
    await vms.gone(fifth.id);
    expect((await vms.active({ name: 'sixth' })).fixed_ip).toBe(fifth.fixed_ip);
  });

  it('is given to as many who ask at the same moment as there is room for', async () => {
    const statuses = (await Promise.all(Array.from({ length: 9 }, () => vms.post({})))).map(({ status }) => status);
    expect(statuses.filter((status) => status === 200)).toHaveLength(5);
    expect(statuses.filter((status) => status === 409)).toHaveLength(4);
  });

  it('is one of its own for each environment; when the pool is exhausted there are no more, until one is deleted', async () => {
    const made = await Promise.all(['one', 'two', 'three', 'four'].map(makeEnvironment));
    expect(made.map(({ status }) => status).sort()).toEqual([200, 200, 409, 409]);
    const subnets = made.flatMap(({ body }) => body.environment?.subnet ?? []);
    expect(subnets.sort()).toEqual(['10.128.2.0/24', '10.128.3.0/24']);
    const refused = made.find(({ status }) => status === 409)!.body;
    expect(refused).toMatchObject({ status: false, error_reason: 'no_capacity' });
    expect(refused.message).toMatch(/Every subnet of this cloud is in use/);
    const [first] = made.flatMap(({ body }) => body.environment ?? []);
    expect((await cloud.request('DELETE', `${ENVIRONMENTS}/${first.id}`)).status).toBe(200);
    expect((await makeEnvironment('five')).body.environment.subnet).toBe(first.subnet);
  });
});
