/** Images that organizations bring: by URL, fetched by a node, and uploaded; and what is refused of them. */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { fsck } from '../src/conductor/admin/fsck.js';
import { emptyQcow2 } from '../src/all-in-one/empty-qcow2.js';
import { ImageStore } from '../src/conductor/images/image-store.js';
import { FileServer } from './fixtures/file-server.js';
import { startCloud, type Answer, type Cloud, type Json } from './support/cloud.js';
import { eventually } from './support/eventually.js';
import { scratchFolder } from './support/scratch.js';
import { VmClient } from './support/vm-client.js';

jest.setTimeout(60_000);

const IMAGES = '/v1/core/images';
const GIB = 2 ** 30;
const DISK = emptyQcow2();
const SHA256 = createHash('sha256').update(DISK).digest('hex');
const SHA512 = createHash('sha512').update(DISK).digest('hex');

let cloud: Cloud;
let vms: VmClient;
let server: FileServer;
let store: string;

beforeAll(async () => {
  server = new FileServer();
  await server.listen();
  store = await scratchFolder('image-store');
  cloud = await startCloud({
    nodes: 2,
    settings: { BATON_EGRESS_ALLOW: '127.0.0.0/8', BATON_IMAGE_STORE: store, BATON_IMAGES_PER_ORGANIZATION: '40', BATON_IMAGE_MAX_DISK_GIB: '20' },
  });
  vms = new VmClient(cloud);
});

afterEach(() => server.files.clear());

afterAll(async () => {
  expect(await fsck(cloud.database)).toEqual([]);
  await cloud.stop();
  await server.close();
});

const payload = (name: string, change: object = {}): object => ({ name, region_name: 'default-1', format: 'qcow2', ...change });

const byUrl = (name: string, path: string, change: object = {}): Promise<Answer> =>
  cloud.request('POST', IMAGES, payload(name, { url: server.url(path), checksum: SHA256, ...change }));

async function registered(answer: Promise<Answer>): Promise<Json> {
  const { status, body } = await answer;
  expect({ status, message: body.message }).toEqual({ status: 200 });
  return body.image;
}

const shown = async (id: number): Promise<Json> => (await cloud.request('GET', `${IMAGES}/${id}`)).body.image;

const reaches = (id: number, status: string): Promise<Json> =>
  eventually(async () => {
    const image = await shown(id);
    expect(image?.status).toBe(status);
    return image;
  }, 20_000);

async function upload(id: number, content: Buffer | ReadableStream, headers: Record<string, string> = {}): Promise<Answer> {
  const answer = await fetch(`${cloud.url}${IMAGES}/${id}/file`, {
    method: 'PUT',
    headers: { api_key: cloud.demo.key, 'content-type': 'application/octet-stream', ...headers },
    body: content,
    duplex: 'half',
  } as unknown as RequestInit);
  const text = await answer.text();
  return { status: answer.status, headers: {}, text, body: JSON.parse(text) };
}

const uploads = async (): Promise<string[]> => readdir(join(store, 'uploads')).catch(() => []);

/** Nothing of an image stays on a node that only looked at it. */
const leftOnNodes = async (): Promise<string[]> =>
  (await Promise.all(cloud.nodes.map((node) => readdir(join(node.stateFolder, 'images')).catch(() => [])))).flat();

describe('an image by URL', () => {
  it('is fetched by a node, checked, and makes VMs', async () => {
    server.files.set('/good', DISK);
    const image = await registered(byUrl('by-url', '/good', { type: 'Debian', version: '13', description: 'mine' }));
    expect(image).toMatchObject({
      name: 'by-url',
      type: 'Debian',
      version: '13',
      is_public: false,
      status: 'queued',
      transfer: { source: 'url', url: server.url('/good'), checksum: `sha256:${SHA256}`, deadline: expect.any(String), owner: expect.stringContaining('nodes of region') },
    });
    const available = await reaches(image.id, 'available');
    expect(available).toMatchObject({
      size: DISK.length,
      problem: null,
      transfer: { bytes: DISK.length, total_bytes: DISK.length, percent: 100, deadline: null, owner: null, next_action: null },
    });
    expect(available.minimum_disk).toBeGreaterThanOrEqual(1);
    expect(await vms.active({ name: 'of-url', image_name: 'by-url', flavor_name: 'large-1' })).toMatchObject({ image: { name: 'by-url' } });
    expect(server.requests.filter(({ path }) => path === '/good').map(({ headers }) => headers.authorization)).toEqual([undefined]);
    expect(await leftOnNodes()).toEqual([]);
  });

  it('may be known by its SHA-512', async () => {
    server.files.set('/512', DISK);
    const { id } = await registered(byUrl('by-512', '/512', { checksum: `sha512:${SHA512}` }));
    expect(await reaches(id, 'available')).toMatchObject({ transfer: { checksum: `sha512:${SHA512}` } });
    const [{ files }] = await cloud.database.query(`SELECT files FROM image WHERE id = $1`, [id]);
    expect(files).toEqual({ disk: { url: server.url('/512'), sha256: SHA256, format: 'qcow2' } });
  });

  it('shows how far it is while a node has it', async () => {
    let finish: () => void = () => undefined;
    server.files.set('/halfway', (response) => {
      response.writeHead(200, { 'content-length': DISK.length });
      response.write(DISK.subarray(0, DISK.length / 2));
      finish = () => response.end(DISK.subarray(DISK.length / 2));
    });
    const { id } = await registered(byUrl('halfway', '/halfway'));
    const image = await eventually(async () => {
      const seen = await shown(id);
      expect(seen.transfer.percent).toBe(50);
      return seen;
    });
    expect(image).toMatchObject({ status: 'downloading', transfer: { bytes: DISK.length / 2, owner: expect.stringMatching(/^the compute node node-\d$/) } });
    expect((await vms.post({ name: 'too-early', image_name: 'halfway' })).body.message).toContain('its status is downloading');
    finish();
    await reaches(id, 'available');
  });

  it.each<[string, Buffer | undefined, object, string]>([
    ['is not there', undefined, {}, 'HTTP 404'],
    ['has another checksum', DISK, { checksum: 'a'.repeat(64) }, 'was expected'],
    ['has another format', DISK, { format: 'raw' }, 'signature of qcow'],
    ['has a backing file', changed((disk) => (disk.writeBigUInt64BE(1024n, 8), disk.writeUInt32BE(11, 16), disk.write('/etc/shadow', 1024))), {}, 'backing file'],
    ['has an external data file', changed((disk) => disk.writeBigUInt64BE(4n, 72)), {}, 'external data file'],
    ['unpacks to more than allowed', changed((disk) => (disk.writeBigUInt64BE(BigInt(30 * GIB), 24), disk.writeUInt32BE(60, 36))), {}, 'it unpacks to a disk of 30 GiB, and at most 20 are allowed'],
    ['describes a VMDK', Buffer.from(`# Disk DescriptorFile\nversion=1\ncreateType="monolithicFlat"\nRW 8 FLAT "/etc/shadow" 0\n${'#'.repeat(600)}`), { format: 'raw' }, 'vmdk'],
  ])('that %s ends in error with the reason, and leaves nothing', async (what, content, change, problem) => {
    const path = `/bad/${encodeURIComponent(what)}`;
    if (content) server.files.set(path, content);
    const checksum = content && createHash('sha256').update(content).digest('hex');
    const { id } = await registered(byUrl(what, path, { ...(checksum && { checksum }), ...change }));
    expect(await reaches(id, 'error')).toMatchObject({ problem: expect.stringContaining(problem), transfer: { next_action: null } });
    expect((await vms.post({ name: 'of-bad', image_name: what })).status).toBe(400);
    expect(await leftOnNodes()).toEqual([]);
  });

  it('that redirects inwards ends in error, and the inner address is never asked', async () => {
    server.files.set('/inwards', (response) => response.writeHead(302, { location: 'http://10.255.255.1/secret' }).end());
    const { id } = await registered(byUrl('inwards', '/inwards'));
    expect(await reaches(id, 'error')).toMatchObject({ problem: expect.stringContaining('private or reserved address') });
  });

  it('that cannot be had now is tried again later', async () => {
    server.files.set('/overloaded', (response) => response.writeHead(503).end());
    const { id } = await registered(byUrl('overloaded', '/overloaded'));
    const image = await eventually(async () => {
      const seen = await shown(id);
      expect(seen.transfer.next_action).toContain('HTTP 503');
      return seen;
    });
    expect(image).toMatchObject({ status: 'queued', problem: null });
    server.files.set('/overloaded', DISK);
    await cloud.database.query('UPDATE image_transfer SET retry_at = now() WHERE image_id = $1', [id]);
    await reaches(id, 'available');
  });

  it('goes to another node when the one that had it fell silent', async () => {
    let asked = 0;
    server.files.set('/orphaned', (response) => {
      if (++asked > 1) response.end(DISK);
      else response.writeHead(200).write(DISK.subarray(0, 10));
    });
    const { id } = await registered(byUrl('orphaned', '/orphaned'));
    const { transfer } = await reaches(id, 'downloading');
    const holder = cloud.nodes.find(({ name }) => transfer.owner.endsWith(name))!;
    await eventually(() => expect(asked).toBe(1));
    await holder.stop();
    await cloud.database.query('UPDATE image_transfer SET lease_until = now() WHERE image_id = $1', [id]);
    await reaches(id, 'available');
    expect(asked).toBe(2);
    await holder.start();
  });

  it('that nobody could download by its deadline is given up', async () => {
    server.files.set('/never', (response) => response.writeHead(503).end());
    const { id } = await registered(byUrl('never', '/never'));
    await eventually(async () => expect((await shown(id)).transfer.next_action).toContain('HTTP 503'));
    await cloud.database.query('UPDATE image_transfer SET deadline_at = now() WHERE image_id = $1', [id]);
    expect(await reaches(id, 'error')).toMatchObject({ problem: expect.stringMatching(/before the deadline\. The last attempt: .*HTTP 503/) });
  });

  it('that is deleted while a node has it is let go of', async () => {
    let closed = false;
    server.files.set('/dropped', (response) => {
      response.on('close', () => (closed = true));
      response.writeHead(200).write('x');
    });
    const { id } = await registered(byUrl('dropped', '/dropped'));
    await reaches(id, 'downloading');
    expect((await cloud.request('DELETE', `${IMAGES}/${id}`)).status).toBe(200);
    await eventually(() => expect(closed).toBe(true));
    expect((await cloud.request('GET', `${IMAGES}/${id}`)).status).toBe(404);
    await eventually(async () => expect(await leftOnNodes()).toEqual([]));
  });

  it.each([
    ['a private address', { url: 'http://169.254.169.254/latest' }, 400, 'private or reserved'],
    ['another protocol', { url: 'file:///etc/passwd' }, 400, 'absolute'],
    ['a password in it', { url: 'http://user:secret@example.org/' }, 400, 'user name or password'],
    ['no checksum', { url: 'https://example.org/x', checksum: undefined }, 400, 'checksum'],
    ['half a checksum', { url: 'https://example.org/x', checksum: 'abc' }, 400, 'checksum must be'],
    ['an unknown format', { format: 'vmdk' }, 400, 'format must be one of'],
    ['a path for a name', { name: '../../etc/passwd' }, 400, 'slashes'],
    ['NUL in its name', { name: 'a\0b' }, 400, 'control characters'],
    ['an unknown region', { region_name: 'nowhere' }, 404, 'The region "nowhere"'],
    ['a status of its own', { status: 'available' }, 400, 'status is not a known field'],
    ['files of its own', { files: {} }, 400, 'files is not a known field'],
  ])('is refused with %s', async (_what, change, status, message) => {
    const answer = await cloud.request('POST', IMAGES, payload('refused', { checksum: SHA256, ...change }));
    expect({ status: answer.status, message: answer.body.message }).toEqual({ status, message: expect.stringContaining(message) });
  });
});

function changed(change: (disk: Buffer) => void): Buffer {
  const disk = Buffer.from(DISK);
  change(disk);
  return disk;
}

describe('an uploaded image', () => {
  it('waits for its file, and is available when it came', async () => {
    const image = await registered(cloud.request('POST', IMAGES, payload('uploaded')));
    expect(image).toMatchObject({ status: 'awaiting-upload', transfer: { source: 'upload', owner: 'you', next_action: expect.stringContaining(`${image.id}/file`) } });
    const { status, body } = await upload(image.id, DISK);
    expect({ status, image: body.image }).toMatchObject({ status: 200, image: { status: 'available', size: DISK.length } });
    const [{ files }] = await cloud.database.query(`SELECT files FROM image WHERE id = $1`, [image.id]);
    expect(files.disk).toMatchObject({ sha256: SHA256, format: 'qcow2' });
    const file = `uploads/${files.disk.url.split('/').at(-1)}`;
    expect(await readFile(join(store, file))).toEqual(DISK);
    expect(await vms.active({ name: 'of-upload', image_name: 'uploaded', flavor_name: 'large-1' })).toBeDefined();
  });

  it('is handed to nodes alone', async () => {
    const { id } = await registered(cloud.request('POST', IMAGES, payload('guarded')));
    await upload(id, DISK);
    const [{ url }] = await cloud.database.query(`SELECT files->'disk'->>'url' AS url FROM image WHERE id = $1`, [id]);
    expect((await cloud.request('GET', url)).status).toBe(401);
    const key = (await readFile(join(cloud.nodes[0]!.stateFolder, 'node.key'), 'utf8')).trim();
    const answer = await fetch(cloud.url + url, { headers: { authorization: `Bearer ${key}` } });
    expect(Buffer.from(await answer.arrayBuffer())).toEqual(DISK);
    for (const name of ['../../postgres', '..%2f..%2fpostgres', 'x'])
      expect((await fetch(`${cloud.url}/compute/uploaded-images/${name}`, { headers: { authorization: `Bearer ${key}` } })).status).toBe(404);
  });

  it.each<[string, Buffer, object, string]>([
    ['with a backing file', changed((disk) => (disk.writeBigUInt64BE(1024n, 8), disk.writeUInt32BE(11, 16))), {}, 'it has a backing file'],
    ['that is a VHDX called raw', Buffer.concat([Buffer.from('vhdxfile'), Buffer.alloc(1024)]), { format: 'raw' }, 'signature of vhdx'],
    ['with another checksum', DISK, { checksum: 'b'.repeat(64) }, 'was expected'],
  ])('%s is refused and leaves nothing; another may be sent', async (what, content, change, message) => {
    const { id } = await registered(cloud.request('POST', IMAGES, payload(what, change)));
    const before = await uploads();
    const { status, body } = await upload(id, content);
    expect({ status, message: body.message }).toEqual({ status: 400, message: expect.stringContaining(message) });
    expect(await uploads()).toEqual(before);
    expect(await shown(id)).toMatchObject({ status: 'awaiting-upload', transfer: { bytes: 0 } });
    await cloud.request('DELETE', `${IMAGES}/${id}`);
  });

  it('larger than allowed is refused before it is read', async () => {
    const { id } = await registered(cloud.request('POST', IMAGES, payload('huge')));
    const head = `PUT ${IMAGES}/${id}/file HTTP/1.1\r\nhost: x\r\napi_key: ${cloud.demo.key}\r\ncontent-type: application/octet-stream\r\ncontent-length: ${33 * 2 ** 30}\r\n\r\n`;
    const { connect } = await import('node:net');
    const socket = connect(Number(new URL(cloud.url).port), '127.0.0.1', () => socket.write(head));
    let text = '';
    for await (const chunk of socket) text += String(chunk);
    expect(text).toContain('413');
    expect(text).toContain('at most 32 GiB');
    await cloud.request('DELETE', `${IMAGES}/${id}`);
  });

  it('is taken once, and not as JSON', async () => {
    const { id } = await registered(cloud.request('POST', IMAGES, payload('once')));
    expect((await cloud.request('PUT', `${IMAGES}/${id}/file`, {})).status).toBe(415);
    expect((await upload(id, DISK)).status).toBe(200);
    expect((await upload(id, DISK)).status).toBe(409);
  });

  it('that breaks off leaves nothing, and may be sent again', async () => {
    const { id } = await registered(cloud.request('POST', IMAGES, payload('broken-off')));
    const before = await uploads();
    const torn = new ReadableStream({
      pull(controller) {
        controller.enqueue(new Uint8Array(1000));
        setTimeout(() => controller.error(new Error('torn')), 50);
      },
    });
    await expect(upload(id, torn)).rejects.toThrow();
    await eventually(async () => expect(await uploads()).toEqual(before));
    await eventually(async () => expect((await upload(id, DISK)).status).toBe(200));
  });

  it("is nobody else's to send or to see", async () => {
    const { id } = await registered(cloud.request('POST', IMAGES, payload('mine-alone')));
    expect((await upload(id, DISK, { api_key: cloud.other.key })).status).toBe(404);
    expect((await cloud.request('GET', `${IMAGES}/${id}`, undefined, { api_key: cloud.other.key })).status).toBe(404);
    const theirs = await cloud.request('POST', IMAGES, payload('mine-alone'), { api_key: cloud.other.key });
    expect(theirs.status).toBe(200);
    const other = await cloud.request('POST', IMAGES, payload('mine-alone'));
    expect({ status: other.status, reason: other.body.error_reason }).toEqual({ status: 409, reason: 'already_exist' });
  });

  it('that fills the store on its way, its length not announced, is given up and leaves nothing', async () => {
    const { id } = await registered(cloud.request('POST', IMAGES, payload('endless')));
    const before = await uploads();
    const room = jest.spyOn(ImageStore.prototype, 'hasRoomFor').mockResolvedValueOnce(true).mockResolvedValue(false);
    let sent = 0;
    const endless = new ReadableStream({ pull: (to) => (sent++ < 200 ? to.enqueue(new Uint8Array(2 ** 20)) : to.close()) });
    try {
      // The answer may be lost, because it comes before everything was sent.
      const answer = await upload(id, endless).catch(() => undefined);
      expect([503, undefined]).toContain(answer?.status);
    } finally {
      room.mockRestore();
    }
    await eventually(async () => expect(await uploads()).toEqual(before));
    await eventually(async () => expect((await upload(id, DISK)).status).toBe(200));
  });

  it('file of a deleted image goes when no VM needs it any more', async () => {
    const { ImageUpkeep } = await import('../src/conductor/images/image-upkeep.js');
    const { ImageStore } = await import('../src/conductor/images/image-store.js');
    const upkeep = new ImageUpkeep(cloud.database, new ImageStore({ imageStore: store }));
    const { id } = await registered(cloud.request('POST', IMAGES, payload('going')));
    await upload(id, DISK);
    const [{ url }] = await cloud.database.query(`SELECT files->'disk'->>'url' AS url FROM image WHERE id = $1`, [id]);
    const name = url.split('/').at(-1);
    const vm = await vms.active({ name: 'last-user', image_name: 'going', flavor_name: 'large-1' });
    expect((await cloud.request('DELETE', `${IMAGES}/${id}`)).status).toBe(200);
    await cloud.database.query(`UPDATE image SET deleted_at = now() - interval '1 day' WHERE id = $1`, [id]);
    await mkdir(join(store, 'uploads'), { recursive: true });
    const orphan = '00000000-0000-4000-8000-000000000000';
    await writeFile(join(store, 'uploads', `${orphan}.partial`), 'half');
    const later = new Date(Date.now() + 1000);
    await upkeep.sweep(later);
    expect(await uploads()).toContain(name);
    expect(await uploads()).not.toContain(`${orphan}.partial`);
    await vms.delete(`/${vm.id}`);
    await vms.gone(vm.id);
    await upkeep.sweep(later);
    expect(await uploads()).not.toContain(name);
  });
});

it('an image has the labels that its owner gives it', async () => {
  const { id } = await registered(cloud.request('POST', IMAGES, payload('labelled', { labels: ['golden', 'team a'] })));
  expect((await shown(id)).labels).toEqual([
    { id: 1, label: 'golden' },
    { id: 2, label: 'team a' },
  ]);
  for (const labels of [['a', 'a'], ['a/b'], [''], 'a', Array.from({ length: 21 }, (_, n) => `l${n}`), ['x'.repeat(65)]])
    expect((await cloud.request('POST', IMAGES, payload('mislabelled', { labels }))).status).toBe(400);
  await cloud.request('DELETE', `${IMAGES}/${id}`);
});

it('an organization has no more images than it may', async () => {
  const register = (n: number): Promise<Answer> =>
    cloud.request('POST', IMAGES, payload(`many-${n}`), { api_key: cloud.other.key });
  const answers = await Promise.all(Array.from({ length: 50 }, (_, n) => register(n)));
  expect(answers.filter(({ status }) => status === 200).length).toBeLessThanOrEqual(40);
  expect(answers.filter(({ status }) => status === 403).length).toBeGreaterThanOrEqual(10);
  const [{ count }] = await cloud.database.query(
    `SELECT count(*)::int AS count FROM image i JOIN organization o ON o.id = i.organization_id WHERE o.name = 'other' AND i.deleted_at IS NULL`,
  );
  expect(count).toBe(40);
});
