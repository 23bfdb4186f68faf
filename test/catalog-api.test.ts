import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { seed, type SeedOptions } from '../src/conductor/seed/seed.js';
import { insert, startApi, type Api } from './support/api.js';
import { mismatches } from './support/infrahub-model.js';

let api: Api;

beforeAll(async () => {
  api = await startApi();
}, 60_000);
afterAll(async () => await api?.close(), 60_000);
beforeEach(async () => {
  await api.database.query('TRUNCATE flavor, image, compute_node, compute_node_gpu, compute_node_heartbeat CASCADE');
});

const get = async (path: string, client = api.ada.api) => (await client.get(path).expect(200)).body;

const flavor = (name: string, change: object = {}) =>
  insert(api.database, 'flavor', {
    region_id: api.regionId,
    name,
    cpu: 2,
    ram_mib: 512,
    disk: 10,
    gpu: '',
    gpu_count: 0,
    ...change,
  });

const image = (name: string, change: object = {}) =>
  insert(api.database, 'image', {
    region_id: api.regionId,
    name,
    type: 'Debian',
    version: '12',
    size_bytes: 1.5 * 1024 ** 3,
    files: {},
    ...change,
  });

async function node(name: string, change: object = {}, secondsSinceBeat = 0): Promise<number> {
  const id = await insert(api.database, 'compute_node', {
    region_id: api.regionId,
    name,
    key_hash: Buffer.from(name),
    session: 1,
    hypervisor: 'simulated',
    acceleration: 'none',
    protocol_version: 1,
    cpus: 2,
    vcpus_total: 2,
    memory_mib_total: 512,
    disk_gib_total: 10,
    ...change,
  });
  await api.database.query(
    `INSERT INTO compute_node_heartbeat VALUES ($1, now() - make_interval(secs => $2), '', '[]')`,
    [id, secondsSinceBeat],
  );
  return id;
}

describe('regions', () => {
  it('are listed in the shape that clients know', async () => {
    const body = await get('/v1/core/regions/');
    expect(mismatches('Regions', body)).toEqual([]);
    expect(body.regions).toMatchObject([{ id: api.regionId, name: 'default-1', green_status: 'GREEN' }]);
  });

  it('are for those with a key', async () => {
    for (const path of ['regions', 'flavors', 'images']) {
      await api.anonymous.get(`/v1/core/${path}`).expect(401);
      await api.as('baton_key_wrong').get(`/v1/core/${path}`).expect(401);
    }
  });
});

describe('flavors', () => {
  it('are grouped by region and GPU, in the shape that clients know', async () => {
    await flavor('big', { cpu: 8 });
    await flavor('small', { cpu: 1, ram_mib: 256 });
    await flavor('a100', { gpu: 'A100', gpu_count: 1 });
    const body = await get('/v1/core/flavors');
    expect(mismatches('FlavorListResponse', body)).toEqual([]);
    expect(body.data).toMatchObject([
      { gpu: '', region_name: 'default-1', flavors: [{ name: 'small', ram: 0.25, display_name: 'small' }, { name: 'big' }] },
      { gpu: 'A100', region_name: 'default-1', flavors: [{ name: 'a100', gpu_count: 1 }] },
    ]);
  });

  it('may be asked for by region, also between the quotes that Terraform sends', async () => {
    const other = await insert(api.database, 'region', { name: 'other', description: '', country: '', green_status: 'GREEN' });
    await flavor('here');
    await flavor('there', { region_id: other });
    for (const region of ['other', '"other"'])
      expect((await get(`/v1/core/flavors?region=${encodeURIComponent(region)}`)).data).toMatchObject([
        { region_name: 'other', flavors: [{ name: 'there' }] },
      ]);
    expect((await get('/v1/core/flavors?region=')).data).toHaveLength(2);
    await api.ada.api.get('/v1/core/flavors?region=MARS-1').expect(404);
    await api.ada.api.get('/v1/core/flavors?region=%00').expect(400);
    await api.ada.api.get('/v1/core/flavors?region=a&region=b').expect(400);
    await api.database.query('TRUNCATE flavor CASCADE');
    await api.database.query('DELETE FROM region WHERE id = $1', [other]);
  });

  const inStock = async (): Promise<boolean> => (await get('/v1/core/flavors')).data[0].flavors[0].stock_available;

  it('are in stock when a node that is up has room', async () => {
    await flavor('f');
    expect(await inStock()).toBe(false);
    await node('fits');
    expect(await inStock()).toBe(true);
  });

  it.each([
    ['has too few processors', { vcpus_used: 1 }, 0],
    ['has too little memory', { memory_mib_used: 1 }, 0],
    ['has too little disk', { disk_gib_used: 1 }, 0],
    ['is draining', { draining: true }, 0],
    ['has been silent for longer than its lease', {}, 3600],
  ])('are out of stock when the only node %s', async (_, change, silence) => {
    await flavor('f');
    await node('n', change, silence);
    expect(await inStock()).toBe(false);
  });

  it('with GPUs are in stock when one node has enough of that model free', async () => {
    await flavor('f', { gpu: 'A100', gpu_count: 2 });
    const id = await node('n');
    const gpus = (model: string, total: number, used: number) =>
      api.database.query('INSERT INTO compute_node_gpu VALUES ($1, $2, $3, $4)', [id, model, total, used]);
    await gpus('H100', 8, 0);
    await gpus('A100', 3, 2);
    expect(await inStock()).toBe(false);
    await api.database.query('UPDATE compute_node_gpu SET used = 1');
    expect(await inStock()).toBe(true);
  });
});

describe('images', () => {
  it('are grouped by region and type, in the shape that clients know', async () => {
    await image('debian-12');
    await image('debian-13');
    await image('ubuntu', { type: 'Ubuntu' });
    const body = await get('/v1/core/images');
    expect(mismatches('Images', body, ['restriction_type'])).toEqual([]);
    expect(body.images).toMatchObject([
      { type: 'Debian', images: [{ name: 'debian-12', display_size: '1.5 GiB', is_public: true }, { name: 'debian-13' }] },
      { type: 'Ubuntu', images: [{ name: 'ubuntu' }] },
    ]);
  });

  const names = async (query: string, client = api.ada.api): Promise<string[]> =>
    (await get(`/v1/core/images?${query}`, client)).images.flatMap((group: { images: { name: string }[] }) =>
      group.images.map((each) => each.name),
    );

  it('are those of everybody and one’s own, searched and by pages', async () => {
    await image('public-a');
    await image('public-b');
    await image('of-ada', { organization_id: api.ada.organizationId });
    await image('gone', { deleted_at: new Date() });
    expect(await names('')).toEqual(['of-ada', 'public-a', 'public-b']);
    expect(await names('', api.eve.api)).toEqual(['public-a', 'public-b']);
    expect(await names('include_public=false')).toEqual(['of-ada']);
    expect(await names('include_public=True')).toHaveLength(3);
    expect(await names('search=PUBLIC')).toEqual(['public-a', 'public-b']);
    expect(await names('page=2&per_page=2')).toEqual(['public-b']);
    expect(await names('region=%22default-1%22')).toHaveLength(3);
  });

  it.each(['include_public=maybe', 'page=0', 'per_page=x', 'search=%00', 'colour=red'])('refuse ?%s', async (query) => {
    await api.ada.api.get(`/v1/core/images?${query}`).expect(400);
  });

  it('are shown one by one without the envelope', async () => {
    const id = await image('debian-12', { description: 'stable' });
    const body = await get(`/v1/core/images/${id}`);
    expect(mismatches('Image', body, ['restriction_type'])).toEqual([]);
    expect(Object.keys(body)).toEqual(['image']);
    expect(body.image).toMatchObject({ id, name: 'debian-12', size: 1.5 * 1024 ** 3, description: 'stable' });
    await api.ada.api.get('/v1/core/images/abc').expect(404);
  });

  it('of the organization can be deleted, public ones cannot, and another’s are not found', async () => {
    const own = await image('own', { organization_id: api.ada.organizationId });
    const shared = await image('shared');
    const missing = await api.eve.api.delete('/v1/core/images/999999').expect(404);
    expect((await api.eve.api.delete(`/v1/core/images/${own}`).expect(404)).body).toEqual(missing.body);
    expect((await api.eve.api.get(`/v1/core/images/${own}`).expect(404)).body).toEqual(missing.body);
    const refused = await api.ada.api.delete(`/v1/core/images/${shared}`).expect(403);
    expect(refused.body).toMatchObject({ status: false, error_reason: 'forbidden' });
    expect(mismatches('ResponseModel', (await api.ada.api.delete(`/v1/core/images/${own}`).expect(200)).body)).toEqual([]);
    await api.ada.api.delete(`/v1/core/images/${own}`).expect(404);
    await api.ada.api.get(`/v1/core/images/${shared}`).expect(200);
  });

  it('have names that are free or not, as the asker sees them', async () => {
    await image('own', { organization_id: api.ada.organizationId });
    await image('shared');
    const ask = async (name: string, client = api.ada.api) => await get(`/v1/core/image/name-availability/${name}`, client);
    expect(mismatches('NameAvailableModel', await ask('own'))).toEqual([]);
    expect(await ask('own')).toMatchObject({ name: 'own', available: false });
    expect((await ask('own', api.eve.api)).available).toBe(true);
    expect((await ask('shared', api.eve.api)).available).toBe(false);
    await api.ada.api.get('/v1/core/image/name-availability/%00').expect(400);
    await api.ada.api.get('/v1/core/image/name-availability/..%2Fx').expect(400);
  });
});

describe('a fresh cloud', () => {
  const IMAGE = {
    name: 'baton-linux',
    type: 'Baton',
    version: '1',
    description: 'small',
    sizeBytes: 1_000_000,
    files: { disk: { url: '/images/a', sha256: 'a', format: 'qcow2' as const } },
  };
  const OPTIONS: SeedOptions = {
    images: [IMAGE],
    floatingIps: ['203.0.113.1', '203.0.113.2'],
    publicKey: 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl demo',
  };
  const rows = async (table: string): Promise<number> =>
    (await api.database.query(`SELECT count(*)::int AS count FROM ${table}`))[0].count;

  it('is seeded once, however often and by however many it is asked', async () => {
    const seeded = await Promise.all([seed(api.database, OPTIONS), seed(api.database, OPTIONS)]);
    const keys = seeded.map((each) => each.apiKey).filter((key) => key !== undefined);
    expect(keys).toHaveLength(1);
    const client = api.as(keys[0]!);

    const flavors = await get('/v1/core/flavors', client);
    expect(flavors.data.map((group: { gpu: string }) => group.gpu)).toEqual(['', 'A100', 'H100', 'L40']);
    expect(flavors.data[0].flavors[0]).toMatchObject({ name: 'tiny-1', cpu: 1, ram: 0.25, disk: 1 });
    expect((await get('/v1/core/keypairs', client)).keypairs).toMatchObject([
      { name: 'demo', environment: { name: 'demo', region: 'default-1' } },
    ]);
    expect(await rows('floating_ip')).toBe(2);

    expect((await seed(api.database, OPTIONS)).apiKey).toBeUndefined();
    await client.get('/v1/auth/me').expect(200);
  });

  it('gets the newest files of its images when it is seeded again', async () => {
    await seed(api.database, OPTIONS);
    const newer = { ...IMAGE, version: '2', files: { disk: { ...IMAGE.files.disk, sha256: 'b' } } };
    await seed(api.database, { ...OPTIONS, images: [newer] });
    expect(await api.database.query('SELECT name, version, files FROM image')).toEqual([
      { name: 'baton-linux', version: '2', files: newer.files },
    ]);
  });

  it('takes the API key that it is given', async () => {
    const apiKey = 'baton_key_chosen-by-the-operator';
    expect((await seed(api.database, { ...OPTIONS, apiKey })).apiKey).toBe(apiKey);
    await seed(api.database, { ...OPTIONS, apiKey });
    expect((await get('/v1/auth/me', api.as(apiKey))).user.username).toBe('demo');
  });
});
