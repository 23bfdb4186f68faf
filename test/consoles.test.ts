/** Screens and serial consoles: over real websockets, through any of several conductors, and the attacks on them. */
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { request as httpRequest } from 'node:http';
import { text } from 'node:stream/consumers';
import { WebSocket } from 'ws';
import { NodeKeyFile } from '../src/compute/uplink/node-key.js';
import { fsck } from '../src/conductor/admin/fsck.js';
import { hashSecret } from '../src/conductor/identity/secrets.js';
import { startCloud, type Cloud, type Json } from './support/cloud.js';
import { fetchedConsole, requestedConsole, ticketFor, ticketOf, Viewer } from './support/console-client.js';
import { eventually } from './support/eventually.js';
import { mismatches } from './support/infrahub-model.js';
import { VmClient } from './support/vm-client.js';

jest.setTimeout(40_000);

let cloud: Cloud;
let vms: VmClient;
let vm: Json;

beforeAll(async () => {
  // Each worker knows one conductor: node-1 the first, node-2 the second.
  cloud = await startCloud({ nodes: 2, conductors: 2 });
  vms = new VmClient(cloud);
  vm = await vms.active({ name: 'watched' });
});
afterAll(async () => {
  expect(await fsck(cloud.database)).toEqual([]);
  await cloud.stop();
});

const nodeOf = async (id: number) => {
  const [row] = await cloud.database.query<[{ name: string }]>(
    'SELECT n.name FROM incarnation i JOIN compute_node n ON n.id = i.compute_node_id WHERE i.virtual_machine_id = $1 AND i.ended_at IS NULL',
    [id],
  );
  return cloud.nodes.find(({ name }) => name === row.name)!;
};
const stateOf = async (console: number): Promise<Json> =>
  (await cloud.database.query<Json[]>('SELECT * FROM console_session WHERE id = $1', [console]))[0];

describe('a console', () => {
  it('is requested, and fetched as soon as the node has come', async () => {
    const { status, body } = await vms.get(`/${vm.id}/request-console`);
    expect(status).toBe(200);
    expect(mismatches('RequestConsole', body)).toEqual([]);
    expect(body.url).toMatch(new RegExp(`^/core/virtual-machines/${vm.id}/console/\\d+$`));
    const job = Number(body.url.split('/').at(-1));
    const fetched = await fetchedConsole(vms, vm.id, job);
    expect(mismatches('VNCURL', fetched)).toEqual([]);
    expect(fetched.vnc_url.id).toBe(job);
    expect(fetched.vnc_url.vnc_url).toMatch(new RegExp(`^${cloud.url}/consoles/vnc#ticket=baton_console_[\\w-]{32}&name=${vm.name}$`));
    const { body: events } = await vms.get(`/${vm.id}/events`);
    expect(events.instance_events.map(({ reason }: Json) => reason)).toContain('GenerateVNCConsoleSuccess');
  });

  it('is pending with an empty address until then', async () => {
    const own = await nodeOf(vm.id);
    await own.stop();
    const job = await requestedConsole(vms, vm.id);
    const { status, body } = await vms.get(`/${vm.id}/console/${job}`);
    expect({ status, body }).toMatchObject({ status: 200, body: { status: false, vnc_url: { id: job, vnc_url: '' } } });
    await own.start();
    await fetchedConsole(vms, vm.id, job);
  });

  it.each([0, 1])('shows the screen of its guest through conductor %i', async (conductor) => {
    const viewer = await Viewer.opened(cloud.urls[conductor]!, await ticketFor(vms, vm.id));
    await viewer.says('RFB 003.008\n');
    viewer.type('RFB 003.008\n');
    await viewer.says('\x01\x01');
    viewer.type('\x01');
    await viewer.says('\0\0\0\0');
    viewer.type('\x01');
    await viewer.says('watched (simulated)');
    const before = viewer.length;
    viewer.type('\x03\x00\x00\x00\x00\x00\x01\xe0\x00\x78');
    await eventually(() => expect(viewer.length).toBe(before + 16 + 480 * 120 * 4));
    viewer.socket.close();
  });

  it.each([0, 1])('is a serial line in both directions through conductor %i', async (conductor) => {
    const viewer = await Viewer.opened(cloud.urls[conductor]!, await ticketFor(vms, vm.id, 'serial'));
    await viewer.says('watched login:');
    viewer.type('whoami\r');
    await viewer.says('whoami\r\nwhoami\r\n> ');
    viewer.socket.close();
    await viewer.ends();
  });

  it('is had by name, too', async () => {
    const { body } = await vms.get('/demo/watched/request-console?type=serial');
    const job = Number(body.url.split('/').at(-1));
    const fetched = await eventually(async () => {
      const answer = await vms.get(`/demo/watched/console/${job}`);
      expect(answer.body.status).toBe(true);
      return answer;
    });
    expect(fetched.headers['cache-control']).toBe('no-store');
    expect(fetched.body.vnc_url.vnc_url).toContain('/consoles/serial#ticket=');
  });

  it('fails for a node that is gone, with an event, and is refused from then on', async () => {
    const lost = await vms.active({ name: 'lost' });
    const node = await nodeOf(lost.id);
    await node.stop();
    const job = await requestedConsole(vms, lost.id);
    await cloud.database.query(`UPDATE console_session SET expires_at = now() WHERE id = $1`, [job]);
    await eventually(async () => {
      const { body } = await vms.get(`/${lost.id}/events`);
      expect(body.instance_events.map(({ reason }: Json) => reason)).toContain('GenerateVNCConsoleFailed');
    });
    const { status, body } = await vms.get(`/${lost.id}/console/${job}`);
    expect({ status, message: body.message }).toEqual({
      status: 400,
      message: 'This console has ended: The node did not answer in time. Request another one.',
    });
    await node.start();
  });

  it('says what the node could not do', async () => {
    const node = await nodeOf(vm.id);
    node.hypervisor.misbehaviours = { openConsole: { kind: 'rejecting', times: 1 } };
    const viewer = await Viewer.opened(cloud.url, await ticketFor(vms, vm.id));
    expect(await viewer.ends()).toEqual({ code: 4001, reason: 'The simulated hypervisor refuses to openConsole just now.' });
  });

  it('of the serial line goes to whoever came last', async () => {
    const first = await Viewer.opened(cloud.url, await ticketFor(vms, vm.id, 'serial'));
    await first.says('login:');
    const second = await Viewer.opened(cloud.url, await ticketFor(vms, vm.id, 'serial'));
    await second.says('login:');
    expect((await first.ends()).code).toBeGreaterThanOrEqual(4000);
    second.socket.close();
  });

  it('is not kept in memory for a viewer that reads nothing', async () => {
    const viewer = await Viewer.opened(cloud.url, await ticketFor(vms, vm.id));
    await viewer.says('RFB 003.008\n');
    viewer.type('RFB 003.008\n\x01\x01');
    await viewer.says('(simulated)');
    viewer.socket.pause();
    global.gc?.();
    const before = process.memoryUsage().rss;
    // Each asks for a picture of 230 kB: some 700 MB.
    const request = Buffer.from('\x03\x00\x00\x00\x00\x00\x01\xe0\x00\x78', 'latin1');
    for (let n = 0; n < 3_000; n++) viewer.socket.send(request);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect(process.memoryUsage().rss - before).toBeLessThan(150 * 2 ** 20);
    viewer.socket.terminate();
  });
});

describe('a request for a console', () => {
  it.each(['type=spice', 'type=vnc&type=serial', 'kind=vnc'])('is refused with %s', async (query) => {
    expect((await vms.get(`/${vm.id}/request-console?${query}`)).status).toBe(400);
  });

  it('needs a VM that is ACTIVE', async () => {
    const still = await vms.active({ name: 'still' });
    await vms.get(`/${still.id}/stop`);
    await vms.reaches(still.id, 'SHUTOFF');
    const { status, body } = await vms.get(`/${still.id}/request-console`);
    expect({ status, message: body.message }).toEqual({
      status: 400,
      message: 'still is SHUTOFF; its console can be requested when it is ACTIVE.',
    });
  });

  it('of another organization, another VM or another user is not found', async () => {
    const job = await requestedConsole(vms, vm.id);
    const stranger = new VmClient(cloud, cloud.other);
    expect((await stranger.get(`/${vm.id}/request-console`)).status).toBe(404);
    expect((await stranger.get(`/demo/watched/request-console`)).status).toBe(404);
    expect((await stranger.get(`/${vm.id}/console/${job}`)).status).toBe(404);
    const other = await vms.active({ name: 'another' });
    expect((await vms.get(`/${other.id}/console/${job}`)).status).toBe(404);
    expect((await vms.get(`/${vm.id}/console/99999`)).status).toBe(404);
    // As if a colleague had requested it.
    await cloud.database.query(
      `INSERT INTO membership (organization_id, user_id, role)
       SELECT s.organization_id, (SELECT max(id) FROM user_account), 'member' FROM console_session s WHERE s.id = $1`,
      [job],
    );
    await cloud.database.query('UPDATE console_session SET user_id = (SELECT max(id) FROM user_account) WHERE id = $1', [job]);
    expect((await vms.get(`/${vm.id}/console/${job}`)).status).toBe(404);
  });

  it('is refused when too many look at the VM', async () => {
    const crowded = await vms.active({ name: 'crowded' });
    for (let n = 0; n < 10; n++) await requestedConsole(vms, crowded.id);
    const { status, headers } = await vms.get(`/${crowded.id}/request-console`);
    expect({ status, after: headers['retry-after'] }).toEqual({ status: 429, after: '60' });
  });
});

describe('a ticket', () => {
  it('opens one console, once (CVE-2013-0335)', async () => {
    const ticket = await ticketFor(vms, vm.id);
    const viewer = await Viewer.opened(cloud.url, ticket);
    for (const url of cloud.urls) expect(await Viewer.open(url, ticket)).toBe(401);
    viewer.socket.close();
    await viewer.ends();
    for (const url of cloud.urls) expect(await Viewer.open(url, ticket)).toBe(401);
  });

  it('is used by one of two that show it at the same moment to two conductors', async () => {
    const ticket = await ticketFor(vms, vm.id);
    const outcomes = await Promise.all(cloud.urls.map((url) => Viewer.open(url, ticket)));
    expect(outcomes.filter((outcome) => outcome === 401)).toHaveLength(1);
    for (const outcome of outcomes) if (typeof outcome !== 'number') outcome.socket.close();
  });

  it('is worth nothing after a minute, or when another was fetched', async () => {
    const job = await requestedConsole(vms, vm.id);
    const former = ticketOf(await fetchedConsole(vms, vm.id, job));
    const [{ seconds }] = await cloud.database.query<[{ seconds: string }]>(
      'SELECT extract(epoch FROM ticket_expires_at - now()) AS seconds FROM console_session WHERE id = $1',
      [job],
    );
    expect(Number(seconds)).toBeLessThanOrEqual(60);
    const ticket = ticketOf(await fetchedConsole(vms, vm.id, job));
    expect(await Viewer.open(cloud.url, former)).toBe(401);
    await cloud.database.query('UPDATE console_session SET ticket_expires_at = now() WHERE id = $1', [job]);
    expect(await Viewer.open(cloud.url, ticket)).toBe(401);
  });

  it.each(['', 'baton_console_guess', "'; DROP TABLE console_session; --"])('is not guessed as %j', async (guess) => {
    expect(await Viewer.open(cloud.url, encodeURIComponent(guess) || 'x')).toBe(401);
  });

  it('is stored as a hash alone', async () => {
    const job = await requestedConsole(vms, vm.id);
    const ticket = ticketOf(await fetchedConsole(vms, vm.id, job));
    const row = await stateOf(job);
    expect(row.ticket_hash).toEqual(hashSecret(ticket));
    expect(JSON.stringify(row)).not.toContain(ticket);
    const [{ events }] = await cloud.database.query<[{ events: string }]>('SELECT string_agg(message, $1) AS events FROM event', ['\n']);
    expect(events).not.toContain(ticket);
  });

  it.each([
    ['stopped and started', async (id: number) => {
      await vms.get(`/${id}/stop`);
      await vms.reaches(id, 'SHUTOFF');
      await vms.get(`/${id}/start`);
      await vms.reaches(id, 'ACTIVE');
    }],
    ['hibernated', async (id: number) => {
      await vms.get(`/${id}/hibernate`);
      await vms.reaches(id, 'HIBERNATED');
    }],
    ['resized', async (id: number) => {
      await vms.send('POST', `/${id}/resize`, { flavor_name: 'small-1' });
      await vms.reaches(id, 'ACTIVE');
    }],
    ['deleted', async (id: number) => {
      await vms.delete(`/${id}`);
      await vms.gone(id);
    }],
  ])('dies when its VM is %s, and what it opened is closed', async (_what, act) => {
    const { id } = await vms.active({ name: 'mortal' });
    const [ticket, other] = [await ticketFor(vms, id), await ticketFor(vms, id, 'serial')];
    const viewer = await Viewer.opened(cloud.url, other);
    await act(id);
    for (const url of cloud.urls) expect(await Viewer.open(url, ticket)).toBe(401);
    expect((await viewer.ends()).code).toBeGreaterThanOrEqual(4000);
    await vms.delete(`/${id}`);
    await vms.gone(id);
  });

  it('dies with the API key that it was had by, and so does what it opened', async () => {
    const { body } = await cloud.request('POST', '/v1/api-key/generate', { name: 'short-lived', description: 'd' });
    const guest = new VmClient(cloud, { name: 'demo', key: body.api_key.key });
    const [ticket, other] = [await ticketFor(guest, vm.id), await ticketFor(guest, vm.id, 'serial')];
    const viewer = await Viewer.opened(cloud.url, other);
    expect((await cloud.request('DELETE', `/v1/api-key/${body.api_key.id}`)).status).toBe(200);
    expect(await Viewer.open(cloud.url, ticket)).toBe(401);
    await viewer.ends();
  });
});

describe('a page', () => {
  it.each(['https://evil.example', 'null', 'http://127.0.0.1:1', 'not a url'])('of %s opens no console (CVE-2015-0259)', async (origin) => {
    const ticket = await ticketFor(vms, vm.id);
    for (const url of cloud.urls) expect(await Viewer.open(url, ticket, { origin })).toBe(403);
    const viewer = await Viewer.opened(cloud.urls[1]!, ticket, { origin: cloud.urls[1]! });
    viewer.socket.close();
  });

  it.each(['//evil.example/%2f..', '/consoles//evil.example/%2f..', '/consoles/assets//evil.example/', '/consoles/vnc/../../evil', '/consoles/assets/own/..%2f..%2fpackage.json'])(
    'at %s redirects nowhere (CVE-2021-3654)',
    async (path) => {
      const answer = await cloud.request('GET', path, undefined, {});
      expect(answer.status).toBeGreaterThanOrEqual(400);
      expect(answer.headers.location).toBeUndefined();
    },
  );

  it('is served with noVNC and xterm.js from here, and frames nowhere', async () => {
    for (const [path, text] of [
      ['vnc', 'assets/own/vnc.js'],
      ['serial', 'assets/own/serial.js'],
      ['assets/own/vnc.js', 'novnc/core/rfb.js'],
      ['assets/novnc/core/rfb.js', 'class RFB'],
      ['assets/novnc/vendor/pako/lib/zlib/inflate.js', 'inflate'],
      ['assets/xterm/xterm.mjs', 'Terminal'],
      ['assets/xterm/addon-fit.mjs', 'FitAddon'],
      ['assets/xterm/xterm.css', '.xterm'],
    ] as const) {
      const answer = await cloud.request('GET', `/consoles/${path}`, undefined, {});
      expect([path, answer.status]).toEqual([path, 200]);
      expect(answer.text).toContain(text);
      expect(answer.headers['content-security-policy']).toContain("frame-ancestors 'none'");
      expect(answer.text).not.toMatch(/src="https?:|from ['"]https?:/);
    }
  });
});

describe("a worker's websocket", () => {
  const dial = async (path: string, headers: Record<string, string> = {}, conductor = 0): Promise<number | 'open'> =>
    new Promise((resolve, reject) => {
      const socket = new WebSocket(`${cloud.urls[conductor]!.replace('http', 'ws')}${path}`, { headers });
      socket.once('open', () => (socket.close(), resolve('open')));
      socket.once('unexpected-response', (_request, response) => (response.resume(), resolve(response.statusCode!)));
      socket.once('error', reject);
    });
  const sessionOf = async (name: string): Promise<number> =>
    (await cloud.database.query<[{ session: number }]>('SELECT session FROM compute_node WHERE name = $1', [name]))[0].session;

  it('needs the key and session of the node that has the VM', async () => {
    const own = await nodeOf(vm.id);
    const stranger = cloud.nodes.find((node) => node !== own)!;
    const job = await requestedConsole(vms, vm.id);
    const as = async (node: typeof own) => ({ authorization: `Bearer ${await new NodeKeyFile(node.stateFolder).read()}` });
    const path = async (node: typeof own) => `/compute/consoles/${job}?session=${await sessionOf(node.name)}`;
    expect(await dial(await path(own))).toBe(401);
    expect(await dial(await path(own), { api_key: cloud.demo.key })).toBe(401);
    expect(await dial(await path(stranger), await as(stranger))).toBe(404);
    expect(await dial(`/compute/consoles/${job}?session=0`, await as(own))).toBe(409);
    expect(await dial(`/compute/consoles/99999?session=${await sessionOf(own.name)}`, await as(own))).toBe(404);
    expect(await dial(await path(own), await as(own))).toBe('open');
  });

  it('elsewhere is refused', async () => {
    expect(await dial('/v1/core/virtual-machines')).toBe(404);
    expect(await dial('/')).toBe(404);
    for (const path of ['//', '///', '//host:99999/', '//[/']) expect(await dial(path)).toBe(404);
  });

  it('comes again after its conductor closed it, and the ticket is good still', async () => {
    const job = await requestedConsole(vms, vm.id);
    const ticket = ticketOf(await fetchedConsole(vms, vm.id, job));
    const node = await nodeOf(vm.id);
    await node.stop();
    expect(await Viewer.open(cloud.url, ticket)).toBe(401);
    await node.start();
    const viewer = await eventually(() => Viewer.opened(cloud.url, ticket));
    await viewer.says('RFB');
    viewer.socket.close();
  });
});

describe('a request that would rather go on in another protocol', () => {
  // As Java's HttpClient asks, unless it is told not to.
  const upgrade = { connection: 'Upgrade, HTTP2-Settings', upgrade: 'h2c', 'http2-settings': 'AAMAAABkAAQAAAAA' };
  const asked = (method: string, path: string, body = ''): Promise<{ status: number; body: Json }> =>
    new Promise((resolve, reject) => {
      const headers = { ...upgrade, api_key: cloud.demo.key, ...(body && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }) };
      const request = httpRequest(cloud.url + path, { method, headers }, (response) => {
        text(response).then((answer) => resolve({ status: response.statusCode!, body: JSON.parse(answer) as Json }), reject);
      });
      request.on('error', reject).end(body);
    });

  it('is answered in this one', async () => {
    const { status, body } = await asked('GET', '/v1/core/regions');
    expect({ status, body }).toMatchObject({ status: 200, body: { status: true } });
  });

  it('is read to its end', async () => {
    const name = `n${'x'.repeat(40)}`;
    const { status, body } = await asked('POST', '/v1/core/environments', JSON.stringify({ name, region: (await cloud.request('GET', '/v1/core/regions')).body.regions[0].name }));
    expect({ status, body }).toMatchObject({ status: 200, body: { environment: { name } } });
  });
});
