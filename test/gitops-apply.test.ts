/** Desired state without Git: files are sent, and the cloud becomes what they say. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { fsck } from '../src/conductor/admin/fsck.js';
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
