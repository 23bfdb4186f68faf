/** What an environment may have of what its organization may have: exact under contention, given back, moved, counted anew. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { run as adminQuota } from '../src/cli/commands/admin-quota.js';
import { parseCommandLine } from '../src/cli/command-line.js';
import { fsck } from '../src/conductor/admin/fsck.js';
import { setEnvironmentQuota } from '../src/conductor/quotas/environment-quotas.js';
import { setQuota, type Limits } from '../src/conductor/quotas/set-quota.js';
import type { OrganizationId } from '../src/protocol/ids.js';
import { startCloud, type Answer, type Cloud, type Json } from './support/cloud.js';
import { eventually } from './support/eventually.js';
import { VmClient } from './support/vm-client.js';
import { VolumeClient } from './support/volume-client.js';

const NO_LIMIT = {
  vms: null,
  vcpus: null,
  memory_mib: null,
  disk_gib: null,
  gpus: null,
  volumes: null,
  volume_gib: null,
  floating_ips: null,
  snapshots: null,
  snapshot_gib: null,
};
/** Of the flavor tiny-1. */
const MEMORY_MIB = 256;

let cloud: Cloud;
let vms: VmClient;
let volumes: VolumeClient;
let atEach: VmClient[];
let demo: number;
let annex: number;

beforeAll(async () => {
  cloud = await startCloud({ nodes: 2, conductors: 2, gpus: [{ model: 'L40', count: 4 }], floatingIps: ['192.0.2.1', '192.0.2.2'] });
  vms = new VmClient(cloud);
  volumes = new VolumeClient(cloud);
  atEach = cloud.urls.map((_, index) => new VmClient(cloud, cloud.demo, index));
  demo = (await cloud.request('GET', '/v1/core/environments')).body.environments[0].id;
  annex = (await cloud.request('POST', '/v1/core/environments', { name: 'annex', region: 'default-1' })).body.environment.id;
  await cloud.request('POST', '/v1/core/keypairs', { name: 'annex', environment_name: 'annex', public_key: await publicKey() });
}, 60_000);

afterAll(async () => {
  await cloud.stop();
}, 60_000);

beforeEach(async () => {
  await Promise.all([demo, annex].map((environment) => limit(NO_LIMIT, environment)));
});

afterEach(async () => {
  await setQuota(cloud.database, 'demo', NO_LIMIT);
  const made = (await vms.get('')).body.instances as Json[];
  for (const { id } of made) await vms.reaches(id, 'ACTIVE');
  await Promise.all(made.map(({ id }) => vms.delete(`/${id}`)));
  for (const { id } of made) await vms.gone(id);
  expect(await fsck(cloud.database)).toEqual([]);
}, 30_000);

const publicKey = async (): Promise<string> => (await cloud.database.query('SELECT public_key FROM keypair LIMIT 1'))[0].public_key;

const quota = (environment: number): string => `/v1/core/environments/${environment}/quota`;

async function limit(limits: Limits, environment = demo): Promise<Json> {
  const { status, body } = await cloud.request('PUT', quota(environment), limits);
  expect({ status, message: body.message }).toEqual({ status: 200, message: 'Environment quota updated successfully' });
  return body.quota;
}

const shown = async (environment = demo): Promise<Json> => (await cloud.request('GET', quota(environment))).body.quota;

async function used(environment = demo): Promise<Record<string, number>> {
  const lines = Object.entries((await shown(environment)) as Record<string, { used: number }>);
  return Object.fromEntries(lines.map(([kind, { used }]) => [kind, used]));
}

/** What the database counts by its triggers, which is what it enforces; undefined without a row. */
const counted = async (environment = demo): Promise<Json> =>
  (await cloud.database.query('SELECT * FROM environment_quota WHERE environment_id = $1', [environment]))[0];

const organization = async (): Promise<OrganizationId> =>
  (await cloud.database.query("SELECT id FROM organization WHERE name = 'demo'"))[0].id;

/** For a lock in the database. */
const someoneWaits = (): Promise<void> =>
  eventually(async () =>
    expect(
      await cloud.database.query(
        `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0`,
      ),
    ).not.toEqual([]),
  );

/** `times` requests, spread over the conductors, all at once. */
const atOnce = (times: number, change: object): Promise<Answer[]> =>
  Promise.all(Array.from({ length: times }, (_, index) => atEach[index % atEach.length]!.post(change)));

const statuses = (answers: readonly Answer[]): Record<number, number> =>
  answers.reduce<Record<number, number>>((counts, { status }) => ({ ...counts, [status]: (counts[status] ?? 0) + 1 }), {});

const IN_ANNEX = { environment_name: 'annex', key_name: 'annex' };

describe('a quota of VMs of an environment', () => {
  it('gives its last five to five of twenty who ask two conductors at once, and gives back what is deleted', async () => {
    await vms.post({ count: 2 });
    await limit({ vms: 7 });
    const answers = await atOnce(20, {});
    expect(statuses(answers)).toEqual({ 200: 5, 403: 15 });
    for (const { body } of answers.filter(({ status }) => status === 403)) expect(body).toMatchObject({ error_reason: 'quota_exceeded' });
    expect(await counted()).toMatchObject({ vms_used: 7, vcpus_used: 7, memory_mib_used: 7 * MEMORY_MIB });
    expect(await fsck(cloud.database)).toEqual([]);

    const [first] = (await vms.get('')).body.instances;
    await vms.reaches(first.id, 'ACTIVE');
    await vms.delete(`/${first.id}`);
    await vms.gone(first.id);
    expect(await counted()).toMatchObject({ vms_used: 6 });
    expect(statuses(await atOnce(4, {}))).toEqual({ 200: 1, 403: 3 });
  }, 60_000);

  it('counts exactly what is created while the first limit is set', async () => {
    const creations = atOnce(12, {});
    await limit({ vms: 100 });
    expect(statuses(await creations)).toEqual({ 200: 12 });
    expect(await counted()).toMatchObject({ vms_used: 12 });
    expect(await fsck(cloud.database)).toEqual([]);
  }, 30_000);

  it('is refused in words that name the environment, limit, use and demand', async () => {
    await limit({ vms: 3, memory_mib: 1000 });
    await vms.post({});
    const { status, body } = await vms.post({ count: 4 });
    expect(status).toBe(403);
    expect(body.message).toBe(
      "The quota of the environment 'demo' is exceeded: of 3 virtual machines, 1 are used and 4 more were asked for; " +
        'of 1000 MiB of memory, 256 are used and 1024 more were asked for. ' +
        'Delete what is not needed, or ask an owner of the organization to raise the quota.',
    );
    expect(await vms.count()).toBe(1);
  });

  it('leaves other environments alone, and within it the quota of the organization holds', async () => {
    await limit({ vms: 0 });
    expect((await vms.post({})).status).toBe(403);
    expect((await vms.post(IN_ANNEX)).status).toBe(200);
    await limit({ vms: 5 });
    await setQuota(cloud.database, 'demo', { vms: 1 });
    expect((await vms.post({})).body.message).toMatch(/^The organization's quota is exceeded/);
  });

  it('is told beforehand by a dry run', async () => {
    await limit({ vms: 1 });
    const { status, body } = await vms.post({ count: 2 }, {}, '?dry_run=true');
    expect({ status, reason: body.error_reason }).toEqual({ status: 403, reason: 'quota_exceeded' });
    expect(body.message).toContain("the environment 'demo'");
    expect((await vms.post({}, {}, '?dry_run=true')).status).toBe(200);
  });

  it('is what Infrahub is shown where it leaves less than the organization has', async () => {
    const path = `/v1/core/environments/${demo}/vm-quota`;
    await vms.post({});
    await vms.post(IN_ANNEX);
    await setQuota(cloud.database, 'demo', { vms: 4 });
    await limit({ vms: 2 });
    expect((await cloud.request('GET', path)).body).toMatchObject({ max_vms: 2, current_vms: 1, available_vms: 1 });
    await limit({ vms: 4 });
    expect((await cloud.request('GET', path)).body).toMatchObject({ max_vms: 4, current_vms: 2, available_vms: 2 });
  });
});

it('a quota of GPUs is kept like one of VMs', async () => {
  await limit({ gpus: 2 });
  expect(statuses(await atOnce(6, { flavor_name: 'n3-L40x1' }))).toEqual({ 200: 2, 403: 4 });
  expect(await counted()).toMatchObject({ gpus_used: 2 });
}, 30_000);

it('a resize beyond the quota is refused and changes nothing', async () => {
  await limit({ vcpus: 1 });
  const vm = await vms.active({});
  const before = await counted();
  const { status, body } = await vms.send('POST', `/${vm.id}/resize`, { flavor_name: 'medium-1' });
  expect({ status, reason: body.error_reason }).toEqual({ status: 403, reason: 'quota_exceeded' });
  expect(await counted()).toEqual(before);
  await limit({ vcpus: 2 });
  expect((await vms.send('POST', `/${vm.id}/resize`, { flavor_name: 'medium-1' })).status).toBe(200);
  await vms.reaches(vm.id, 'ACTIVE');
  expect(await counted()).toMatchObject({ vms_used: 1, vcpus_used: 2, memory_mib_used: 4096, disk_gib_used: 20 });
}, 30_000);

it('a hibernated VM counts as one and with its disk alone, and is not restored beyond the quota', async () => {
  const vm = await vms.active({});
  await limit({ vcpus: 1 });
  await vms.get(`/${vm.id}/hibernate`);
  await vms.reaches(vm.id, 'HIBERNATED');
  expect(await counted()).toMatchObject({ vms_used: 1, vcpus_used: 0, memory_mib_used: 0, disk_gib_used: 1 });
  const another = await vms.active({});
  expect((await vms.get(`/${vm.id}/hibernate-restore`)).body).toMatchObject({ error_reason: 'quota_exceeded' });
  await vms.delete(`/${another.id}`);
  await vms.gone(another.id);
  expect((await vms.get(`/${vm.id}/hibernate-restore`)).status).toBe(200);
  await vms.reaches(vm.id, 'ACTIVE');
  expect(await counted()).toMatchObject({ vms_used: 1, vcpus_used: 1, memory_mib_used: MEMORY_MIB });
}, 30_000);

describe('a volume', () => {
  it('is charged on the environment that it is moved to and released on the one that it leaves', async () => {
    await limit({ volumes: 5 });
    await limit({ volumes: 5, volume_gib: 9 }, annex);
    const { id } = await volumes.create('mover');
    const refused = await volumes.send('PATCH', `volumes/${id}`, { environment_name: 'annex' });
    expect(refused.body.message).toMatch(/^The quota of the environment 'annex' is exceeded: of 9 GiB of volumes, 0 are used and 10 more were asked for\./);
    expect(await counted()).toMatchObject({ volumes_used: 1, volume_gib_used: 10 });
    await limit({ volume_gib: 10 }, annex);
    expect((await volumes.send('PATCH', `volumes/${id}`, { environment_name: 'annex' })).status).toBe(200);
    expect(await counted()).toMatchObject({ volumes_used: 0, volume_gib_used: 0 });
    expect(await counted(annex)).toMatchObject({ volumes_used: 1, volume_gib_used: 10 });
    expect((await volumes.grow(id, 11)).body).toMatchObject({ error_reason: 'quota_exceeded' });
    await volumes.delete(id);
    await volumes.gone(id);
    expect(await counted(annex)).toMatchObject({ volumes_used: 0, volume_gib_used: 0 });
  });

  it('that is being moved when the first limit of its new environment is set is counted there', async () => {
    const { id } = await volumes.create('early');
    const setting = await cloud.database.transaction(async (transaction) => {
      await transaction.query('UPDATE volume SET environment_id = $2 WHERE id = $1', [id, annex]);
      const waiting = limit({ volumes: 3 }, annex);
      await someoneWaits();
      return { waiting };
    });
    await setting.waiting;
    expect(await counted(annex)).toMatchObject({ volumes_used: 1 });
    await volumes.delete(id);
    await volumes.gone(id);
  });

  it('that moves when the first limit of its new environment is being set is counted there', async () => {
    const { id } = await volumes.create('late');
    const move = await cloud.database.transaction(async (transaction) => {
      await setEnvironmentQuota(transaction, await organization(), annex, { volumes: 3 });
      const waiting = volumes.send('PATCH', `volumes/${id}`, { environment_name: 'annex' });
      await someoneWaits();
      return { waiting };
    });
    expect((await move.waiting).status).toBe(200);
    expect(await counted(annex)).toMatchObject({ volumes_used: 1 });
    await volumes.delete(id);
    await volumes.gone(id);
  });
});

it('floating IPs are counted while VMs of the environment hold them', async () => {
  await limit({ floating_ips: 1 });
  const vm = await vms.active({ assign_floating_ip: true });
  expect(await counted()).toMatchObject({ floating_ips_used: 1 });
  expect((await vms.post({ assign_floating_ip: true })).body.message).toMatch(/^The quota of the environment 'demo' .* of 1 floating IPs, 1 are used/);
  await vms.send('POST', `/${vm.id}/detach-floatingip`);
  await eventually(async () => expect(await counted()).toMatchObject({ floating_ips_used: 0 }));
});

it('snapshots are counted with what they claim', async () => {
  await limit({ snapshots: 1 });
  const vm = await vms.active({});
  const snapshot = await vms.send('POST', `/${vm.id}/snapshots`, { name: 'first', description: 'of a test' });
  expect(snapshot.status).toBe(201);
  expect(await counted()).toMatchObject({ snapshots_used: 1 });
  await vms.reaches(vm.id, 'ACTIVE');
  await eventually(async () => {
    const { status, body } = await vms.send('POST', `/${vm.id}/snapshots`, { name: 'second', description: 'of a test' });
    expect({ status, message: body.message }).toEqual({
      status: 403,
      message: expect.stringMatching(/^The quota of the environment 'demo' is exceeded: of 1 snapshots, 1 are used and 1 more/),
    });
  });
  await cloud.request('DELETE', `/v1/core/snapshots/${snapshot.body.snapshot.id}`);
  await eventually(async () => expect(await counted()).toMatchObject({ snapshots_used: 0, snapshot_gib_used: 0 }));
}, 30_000);

describe('the limits of an environment', () => {
  it('are shown with what is used, and are gone with the last of them', async () => {
    await vms.post({});
    expect(await shown()).toMatchObject({ vms: { max: null, used: 1 }, memory_mib: { max: null, used: MEMORY_MIB }, snapshots: { max: null, used: 0 } });
    expect(await counted()).toBeUndefined();
    expect(await limit({ vms: 3, vcpus: 8 })).toMatchObject({ vms: { max: 3, used: 1 }, vcpus: { max: 8, used: 1 }, gpus: { max: null, used: 0 } });
    expect(await limit({ vms: null })).toMatchObject({ vms: { max: null }, vcpus: { max: 8 } });
    await limit({ vcpus: null });
    expect(await counted()).toBeUndefined();
  });

  it('go with the environment', async () => {
    const { body } = await cloud.request('POST', '/v1/core/environments', { name: 'passing', region: 'default-1' });
    await limit({ vms: 1 }, body.environment.id);
    await cloud.request('DELETE', `/v1/core/environments/${body.environment.id}`);
    expect(await counted(body.environment.id)).toBeUndefined();
    expect((await cloud.request('PUT', quota(body.environment.id), { vms: 1 })).status).toBe(404);
  });

  it('are nothing that another organization sees or sets', async () => {
    const headers = { api_key: cloud.other.key };
    expect((await cloud.request('GET', quota(demo), undefined, headers)).status).toBe(404);
    const { status, body } = await cloud.request('PUT', quota(demo), { vms: 0 }, headers);
    const missing = await cloud.request('PUT', quota(2 ** 31 - 1), { vms: 0 });
    expect({ status, message: body.message }).toEqual({ status: 404, message: missing.body.message });
    expect(await counted()).toBeUndefined();
  });

  it.each([[{ vms: -1 }], [{ vms: 2 ** 31 }], [{ vms: 1.5 }], [{ vms: '3' }], [{ hosts: 3 }], [{}]])('cannot be %j', async (limits) => {
    expect((await cloud.request('PUT', quota(demo), limits)).status).toBe(400);
  });

  it('are shown and set by the command of operators', async () => {
    await vms.post({});
    expect(await command('--environment', 'demo', '--vms', '3')).toMatch(/virtual machines +1 +3\n.*vCPUs +1 +unlimited/);
    expect(await shown()).toMatchObject({ vms: { max: 3 } });
    expect(await command('--environment', 'demo', '--vms', 'unlimited')).toMatch(/virtual machines +1 +unlimited/);
    await expect(command('--environment', 'nowhere')).rejects.toThrow("There is no environment 'nowhere'");
  });
});

it('use that was miscounted is found, and counted anew by fsck --repair', async () => {
  await limit({ vms: 3 });
  await vms.post({});
  await cloud.database.query('UPDATE environment_quota SET vms_used = 2, volumes_used = 5');
  const findings = await fsck(cloud.database, { repair: true });
  expect(findings.map(({ invariant, repaired }) => ({ invariant, repaired }))).toEqual([{ invariant: 'environment-quota-usage-adds-up', repaired: true }]);
  expect(await counted()).toMatchObject({ vms_used: 1, volumes_used: 0 });
  expect(await used()).toMatchObject({ vms: 1, volumes: 0 });
});

/** @returns what the command prints. */
async function command(...args: string[]): Promise<string> {
  const { flags } = parseCommandLine(['admin', 'quota', '--organization', 'demo', ...args]);
  const printed: string[] = [];
  const write = jest.spyOn(process.stdout, 'write').mockImplementation((text) => printed.push(String(text)) > 0);
  try {
    await adminQuota({ flags, environment: { DATABASE_URL: cloud.databaseUrl } });
  } finally {
    write.mockRestore();
  }
  return printed.join('');
}
