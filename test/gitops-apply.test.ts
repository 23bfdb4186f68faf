/** Desired state without Git: files are sent, and the cloud becomes what they say. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { fsck } from '../src/conductor/admin/fsck.js';
import { setQuota } from '../src/conductor/quotas/set-quota.js';
import { startCloud, type Answer, type Cloud, type Json } from './support/cloud.js';
import { eventually } from './support/eventually.js';
import { VmClient } from './support/vm-client.js';

let cloud: Cloud;
let vms: VmClient;

beforeAll(async () => {
  cloud = await startCloud({ conductors: 2, nodes: 2, floatingIps: ['198.51.100.7'] });
  vms = new VmClient(cloud);
  await cloud.database.query(
    `INSERT INTO flavor (region_id, name, cpu, ram_mib, disk, gpu, gpu_count) SELECT id, 'tiny-2', 2, 512, 2, '', 0 FROM region`,
  );
  await cloud.database.query(
    `INSERT INTO image (region_id, name, type, version, description, size_bytes, files)
     SELECT region_id, 'tiny-next', type, version, description, size_bytes, files FROM image WHERE name = 'tiny'`,
  );
});

afterAll(async () => {
  expect(await fsck(cloud.database)).toEqual([]);
  await cloud.stop();
});

const document = (kind: string, metadata: object, spec: object): string => JSON.stringify({ apiVersion: 'baton/v1', kind, metadata, spec });

const vm = (name: string, spec: object = {}, metadata: object = {}): string =>
  document('VirtualMachine', { name, environment: 'demo', ...metadata }, { flavor: 'tiny-1', image: 'tiny', keypairs: ['demo'], ...spec });

const send = (documents: readonly string[], options: object = {}, query = ''): Promise<Answer> =>
  cloud.request('POST', `/gitops/apply${query}`, { files: { 'all.yaml': documents.join('\n---\n') }, prune: true, ...options });

const syncOf = async (id: number): Promise<Json> => (await cloud.request('GET', `/gitops/git-repo/${id}/syncs`)).body.syncs[0];

/** The finished sync of what was sent. */
async function applied(documents: readonly string[], options: object = {}): Promise<Json> {
  const before = await latestSyncs();
  const { status, body } = await send(documents, options);
  expect({ status, message: body.message }).toEqual({ status: 200, message: expect.any(String) });
  return await eventually(async () => {
    const sync = await syncOf(body.git_repo_id);
    expect(before).not.toContain(sync?.id);
    expect(sync.state).toMatch(/succeeded|failed/);
    return sync;
  }, 20_000);
}

const latestSyncs = async (): Promise<number[]> => (await cloud.database.query<{ id: number }[]>('SELECT id FROM gitops_sync')).map(({ id }) => id);

const told = ({ actions }: Json): string[] => actions.map(({ verb, resource, fields, result }: Json) => [verb, resource, ...fields, result].join(' '));

const named = async (name: string): Promise<Json> => (await vms.get(`/demo/${name}`)).body.instance;

describe('files that are sent', () => {
  it('are made so: everything that they declare, what is used first', async () => {
    const everything = [
      document('Environment', { name: 'stage' }, { region: 'default-1' }),
      document('Profile', { name: 'small' }, { data: { flavor_name: 'tiny-1' } }),
      document('Firewall', { name: 'web', environment: 'demo' }, { rules: [{ direction: 'ingress', protocol: 'tcp', remote_ip_prefix: '0.0.0.0/0', port_range_min: 443 }] }),
      document('Volume', { name: 'data', environment: 'demo' }, { size: 1 }),
      vm('db', { firewalls: ['web'], volumes: ['data'], floating_ip: true }, { labels: ['b', 'a'] }),
    ];
    const dry = await send(everything, { name: 'whole' }, '?dry_run=true');
    expect(dry.body.actions.map(({ verb, resource }: Json) => `${verb} ${resource}`)).toEqual([
      'create Environment stage',
      'create Firewall demo/web',
      'create Profile small',
      'create Volume demo/data',
      'create VirtualMachine demo/db',
    ]);
    expect(dry.body.git_repo_id).toBeNull();
    expect(await vms.count()).toBe(0);

    const sync = await applied(everything, { name: 'whole' });
    expect({ state: sync.state, problems: sync.problems }).toEqual({ state: 'succeeded', problems: [] });
    expect(await named('db')).toMatchObject({ status: 'ACTIVE', labels: ['a', 'b'], floating_ip: '198.51.100.7', volume_attachments: [{ status: 'ATTACHED' }] });

    const nothing = await applied([], { name: 'whole' });
    expect(nothing).toMatchObject({ state: 'succeeded', problems: [] });
    expect(await vms.count()).toBe(0);
    const left = await cloud.database.query<Json[]>(`SELECT (SELECT count(*)::int FROM gitops_ownership) AS owned, (SELECT count(*)::int FROM firewall) AS firewalls,
      (SELECT count(*)::int FROM environment WHERE deleted_at IS NULL AND name = 'stage') AS environments`);
    expect(left).toEqual([{ owned: 0, firewalls: 0, environments: 0 }]);
  }, 60_000);

  it('change a machine in place, resize it, replace it, rename it and delete it', async () => {
    await applied([vm('web')]);
    const first = await named('web');
    expect(first.status).toBe('ACTIVE');
    expect(told(await applied([vm('web', {}, { labels: ['blue'] })]))).toEqual(['update VirtualMachine demo/web labels done']);
    expect(await named('web')).toMatchObject({ id: first.id, labels: ['blue'] });
    expect(told(await applied([vm('web', { flavor: 'tiny-2' })]))).toEqual(['update VirtualMachine demo/web flavor labels done']);
    expect(await named('web')).toMatchObject({ id: first.id, labels: [], status: 'ACTIVE', flavor: { name: 'tiny-2' } });
    expect(told(await applied([vm('web', { flavor: 'tiny-2', image: 'tiny-next' })]))).toEqual([
      'replace VirtualMachine demo/web image done',
      'create VirtualMachine demo/web done',
    ]);
    const replaced = await named('web');
    expect(replaced).toMatchObject({ status: 'ACTIVE', image: { name: 'tiny-next' } });
    expect(replaced.id).not.toBe(first.id);
    expect(told(await applied([vm('www')]))).toEqual(['delete VirtualMachine demo/web done', 'create VirtualMachine demo/www done']);
    expect([(await named('www')).status, await named('web')]).toEqual(['ACTIVE', undefined]);
    await applied([]);
    expect(await vms.count()).toBe(0);
  }, 60_000);

  it('keep the rules of a machine as they are declared, and leave them alone where none are', async () => {
    const rule = (port: number) => ({ direction: 'ingress', protocol: 'tcp', remote_ip_prefix: '0.0.0.0/0', port_range_min: port });
    const ports = async (): Promise<number[]> =>
      (await named('ruled')).security_rules.filter(({ direction }: Json) => direction === 'ingress').map(({ port_range_min }: Json) => port_range_min).toSorted((a: number, b: number) => a - b);
    expect((await applied([vm('ruled', { security_rules: [rule(80), rule(443)] })])).state).toBe('succeeded');
    const { id } = await named('ruled');
    expect(await ports()).toEqual([80, 443]);
    expect(told(await applied([vm('ruled', { security_rules: [rule(443), rule(8080)] })]))).toEqual(['update VirtualMachine demo/ruled security_rules done']);
    expect([await ports(), (await named('ruled')).id]).toEqual([[443, 8080], id]);
    expect((await vms.send('POST', `/${id}/sg-rules`, { ...rule(22), ethertype: 'IPv4', port_range_max: 22 })).status).toBeLessThan(300);
    expect(told(await applied([vm('ruled')]))).toEqual([]);
    expect(await ports()).toEqual([22, 443, 8080]);
    expect(told(await applied([vm('ruled', { security_rules: [] })]))).toEqual(['update VirtualMachine demo/ruled security_rules done']);
    expect(await ports()).toEqual([]);
    await applied([]);
  }, 60_000);

  it('never touch what was made by hand, and say so', async () => {
    const mine = await vms.active({ name: 'handmade' });
    const sync = await applied([vm('handmade', { image: 'tiny-next' }), vm('other')]);
    expect(sync.state).toBe('failed');
    expect(sync.problems).toEqual([expect.objectContaining({ resource: 'VirtualMachine demo/handmade', file: 'all.yaml', line: 1 })]);
    expect(await named('handmade')).toMatchObject({ id: mine.id, image: { name: 'tiny' } });
    expect((await named('other')).status).toBe('ACTIVE');
    await applied([]);
    expect((await named('handmade')).id).toBe(mine.id);
    await vms.delete(`/${mine.id}`);
    await vms.gone(mine.id);
  }, 60_000);

  it('cannot name what belongs to another organization', async () => {
    const { state, actions } = await applied([document('VirtualMachine', { name: 'spy', environment: 'other' }, { flavor: 'tiny-1', image: 'tiny', keypairs: ['other'] })]);
    expect(state).toBe('failed');
    expect(actions).toEqual([expect.objectContaining({ result: 'failed', message: expect.stringMatching(/^The environment "other" was not found/) })]);
    await applied([]);
  }, 60_000);
});

describe('a machine that is declared', () => {
  it('has a size made to measure, and is resized from it and to it in place', async () => {
    const size = { cpu: 1, ram: 0.25, disk: 2 };
    expect((await applied([vm('measured', { flavor: size })])).state).toBe('succeeded');
    const first = await named('measured');
    expect(first.flavor).toMatchObject({ cpu: 1, ram: 0.25, disk: 2 });
    expect(told(await applied([vm('measured', { flavor: size })]))).toEqual([]);
    expect(told(await applied([vm('measured', { flavor: 'tiny-2' })]))).toEqual(['update VirtualMachine demo/measured flavor done']);
    expect((await named('measured')).id).toBe(first.id);
    expect(told(await applied([vm('measured', { flavor: { ...size, cpu: 2 } })]))).toEqual(['update VirtualMachine demo/measured flavor done']);
    expect(await named('measured')).toMatchObject({ id: first.id, status: 'ACTIVE', flavor: { cpu: 2, ram: 0.25 } });
    await applied([]);
  }, 60_000);

  it('boots from a volume that the manifest makes of an image; the volume outlives it and boots the next', async () => {
    const root = document('Volume', { name: 'root', environment: 'demo' }, { size: 2, image: 'tiny' });
    const booting = (name: string, more: object = {}): string => vm(name, { image: undefined, boot_volume: 'root', ...more });
    const sync = await applied([booting('db', { volumes: ['data'] }), root, document('Volume', { name: 'data', environment: 'demo' }, { size: 1 })]);
    expect({ state: sync.state, problems: sync.problems, failed: sync.actions.filter(({ result }: Json) => result !== 'done') }).toEqual({ state: 'succeeded', problems: [], failed: [] });
    const attached = async (name: string): Promise<string[]> => (await named(name)).volume_attachments.map(({ volume }: Json) => volume.name).toSorted();
    expect(await attached('db')).toEqual(['data', 'root']);
    const [{ id }] = await cloud.database.query<[{ id: number }]>(`SELECT id FROM volume WHERE name = 'root'`);
    expect(told(await applied([booting('db'), root]))).toEqual(['update VirtualMachine demo/db volumes done', 'delete Volume demo/data done']);
    expect((await applied([booting('next'), root])).state).toBe('succeeded');
    expect([await named('db'), await attached('next')]).toEqual([undefined, ['root']]);
    expect(await cloud.database.query(`SELECT id FROM volume WHERE name = 'root'`)).toEqual([{ id }]);
    await applied([]);
    expect(await cloud.database.query('SELECT id FROM volume WHERE deleted_at IS NULL')).toEqual([]);
  }, 60_000);

  it('leaves its root disk behind where that is a volume made with it, and can be kept as a profile', async () => {
    const kept = vm('kept', { create_bootable_volume: true, profile: { name: 'as-kept', description: 'Of Git' } });
    expect(told(await applied([kept]))).toEqual(['create Profile as-kept done', 'create VirtualMachine demo/kept done']);
    expect(told(await applied([kept]))).toEqual([]);
    const [profile] = await cloud.database.query<Json[]>(`SELECT description, data FROM profile WHERE name = 'as-kept'`);
    expect(profile).toMatchObject({ description: 'Of Git', data: { environment_name: 'demo', flavor_name: 'tiny-1', image_name: 'tiny', create_bootable_volume: 'true' } });
    await applied([]);
    const volumes = await cloud.database.query<Json[]>('SELECT id, name FROM volume WHERE deleted_at IS NULL');
    expect(volumes.map(({ name }) => name)).toEqual([expect.stringMatching(/^kept-root-\d+$/)]);
    expect((await cloud.request('DELETE', `/v1/core/volumes/${volumes[0]!.id}`)).status).toBe(200);
  }, 60_000);

  it('is not touched while it names what there is not: a preview says so, with file, line and field', async () => {
    await applied([vm('careful')]);
    const { id } = await named('careful');
    const wrong = [vm('careful', { image: 'tyni' }), vm('new', { keypairs: ['nobody'], firewalls: ['walls'] })];
    const problems = [
      expect.objectContaining({ resource: 'VirtualMachine demo/careful', file: 'all.yaml', line: 1, field: 'spec.image', message: expect.stringContaining('names the image "tyni", which the region default-1 does not have') }),
      expect.objectContaining({ resource: 'VirtualMachine demo/new', line: 3, field: 'spec.keypairs', message: expect.stringContaining('names the keypair "nobody", which the environment demo does not have') }),
    ];
    const preview = await send(wrong, {}, '?dry_run=true');
    expect([preview.body.actions, preview.body.problems]).toEqual([[], problems]);
    const sync = await applied(wrong);
    expect([sync.state, sync.actions, sync.problems]).toEqual(['failed', [], problems]);
    expect(await named('careful')).toMatchObject({ id, status: 'ACTIVE' });
    await applied([]);
  }, 60_000);
});

describe('a group', () => {
  const ids = async (): Promise<Record<string, number>> =>
    Object.fromEntries((await cloud.database.query<{ name: string; id: number }[]>(`SELECT name, id FROM virtual_machine WHERE name LIKE 'web-%' AND deleted_at IS NULL`)).map(({ name, id }) => [name, id]));

  it('is replaced one at a time, each when the one before is ACTIVE', async () => {
    await applied([vm('web', { count: 3 })]);
    await cloud.database.query(
      `CREATE TABLE seen (out int); CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
         INSERT INTO seen SELECT 3 - count(*) FROM virtual_machine WHERE name LIKE 'web-%' AND status = 'ACTIVE' AND deleted_at IS NULL; RETURN NEW; END $$;
       CREATE TRIGGER see AFTER UPDATE OF status OR INSERT ON virtual_machine FOR EACH STATEMENT EXECUTE FUNCTION see()`,
    );
    try {
      const sync = await applied([vm('web', { count: 3, image: 'tiny-next' })]);
      expect([sync.state, told(sync).every((line) => line.endsWith('done'))]).toEqual(['succeeded', true]);
      expect(await cloud.database.query('SELECT max(out) AS most FROM seen')).toEqual([{ most: 1 }]);
    } finally {
      await cloud.database.query('DROP FUNCTION see CASCADE; DROP TABLE seen');
    }
    for (const name of ['web-1', 'web-2', 'web-3']) expect(await named(name)).toMatchObject({ status: 'ACTIVE', image: { name: 'tiny-next' } });
    await applied([]);
  }, 60_000);

  it('stays as it is where the first successor cannot be made, and goes on when it can', async () => {
    await applied([vm('web', { count: 3 })], { name: 'stopping' });
    const before = await ids();
    await setQuota(cloud.database, 'demo', { vms: 2 });
    let sync: Json;
    try {
      sync = await applied([vm('web', { count: 3, image: 'tiny-next' })], { name: 'stopping' });
    } finally {
      await setQuota(cloud.database, 'demo', { vms: null });
    }
    expect(sync.state).toBe('failed');
    expect(sync.actions.filter(({ result }: Json) => result !== 'done').map(({ verb, resource, result, message }: Json) => [verb, resource, result, message])).toEqual([
      ['replace', 'VirtualMachine demo/web-2', 'blocked', 'the roll-out of web has stopped at VirtualMachine demo/web-1'],
      ['replace', 'VirtualMachine demo/web-3', 'blocked', 'the roll-out of web has stopped at VirtualMachine demo/web-1'],
      ['create', 'VirtualMachine demo/web-1', 'failed', expect.stringContaining('quota')],
    ]);
    expect(await ids()).toEqual({ 'web-2': before['web-2'], 'web-3': before['web-3'] });
    await applied([vm('web', { count: 3, image: 'tiny-next' })], { name: 'stopping' });
    expect((await named('web-3')).image.name).toBe('tiny-next');
    await applied([], { name: 'stopping' });
  }, 60_000);
});
