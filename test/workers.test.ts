/** Compute nodes and the conductor: who may join, who may report on what, and what becomes of VMs when a node fails. */
import { afterEach, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { fsck } from '../src/conductor/admin/fsck.js';
import { PROTOCOL_VERSION } from '../src/protocol/task.js';
import { createJoinToken } from '../src/conductor/fleet/join-tokens.js';
import { deadTasks, replayDeadTask } from '../src/conductor/tasks/dead-letter-replay.js';
import type { TaskId } from '../src/protocol/ids.js';
import { JOIN_TOKEN, startCloud, type Answer, type Cloud, type CloudOptions, type Json } from './support/cloud.js';
import type { CloudNode } from './support/cloud-node.js';
import { eventually } from './support/eventually.js';
import { VmClient } from './support/vm-client.js';

let cloud: Cloud;
let vms: VmClient;

async function start(options: CloudOptions = {}): Promise<void> {
  cloud = await startCloud(options);
  vms = new VmClient(cloud);
}

afterEach(() => cloud.stop());

const asBearer = (secret: string): Record<string, string> => ({ authorization: `Bearer ${secret}` });

const registration = (change: object = {}): Json => ({
  name: 'by-hand',
  region: 'default-1',
  hypervisor: 'simulated',
  acceleration: 'none',
  protocolVersion: PROTOCOL_VERSION,
  capacity: { cpus: 4, memoryMib: 4096, diskGib: 100, gpus: [] },
  ...change,
});

const register = (secret: string, change: object = {}): Promise<Answer> =>
  cloud.request('POST', '/compute/register', registration(change), asBearer(secret));

const report = (key: string, session: number, ...reports: object[]): Promise<Answer> =>
  cloud.request('POST', '/compute/reports', { session, reports }, asBearer(key));

const keyOf = async (node: CloudNode): Promise<string> => (await readFile(`${node.stateFolder}/node.key`, 'utf8')).trim();

const sessionOf = async (name: string): Promise<number> =>
  (await cloud.database.query('SELECT session FROM compute_node WHERE name = $1', [name]))[0].session;

/** Everything that a report could change of a VM. */
const rowsOf = async (id: number): Promise<Json> =>
  cloud.database.query(
    `SELECT vm.*, i.claimed, i.ended_at, i.last_sequence, i.metadata_token_hash, t.state AS task_state
       FROM virtual_machine vm JOIN incarnation i ON i.virtual_machine_id = vm.id JOIN task t ON t.incarnation_id = i.id
      WHERE vm.id = $1`,
    [id],
  );

const incarnationOf = async (id: number): Promise<Json> =>
  (
    await cloud.database.query(
      `SELECT i.id, i.last_sequence::float8 AS sequence, t.id AS task FROM incarnation i JOIN task t ON t.incarnation_id = i.id
        WHERE i.virtual_machine_id = $1`,
      [id],
    )
  )[0];

const used = async (): Promise<number> =>
  (await cloud.database.query('SELECT sum(vcpus_used)::int AS used FROM compute_node'))[0].used;

describe('joining the fleet', () => {
  it('needs a token, whatever else the request says', async () => {
    await start({ nodes: 0 });
    for (const change of [{}, { region: 'nowhere' }])
      expect((await register('a-token-that-nobody-made', change)).status).toBe(401);
    expect((await cloud.request('POST', '/compute/register', registration(), {})).status).toBe(401);
    expect((await register(cloud.demo.key)).status).toBe(401);
    expect(await cloud.database.query('SELECT 1 FROM compute_node')).toEqual([]);
  });

  it('uses a token up', async () => {
    await start({ nodes: 0 });
    const token = await createJoinToken(cloud.database, { uses: 1, ttlSeconds: 60 });
    const first = await register(token, { name: 'first' });
    expect(first.body).toMatchObject({ nodeKey: expect.stringMatching(/^baton_node_/), session: 1, queue: 'first' });
    expect((await register(token, { name: 'second' })).status).toBe(401);
    const expired = await createJoinToken(cloud.database, { uses: 1, ttlSeconds: 0 });
    expect((await register(expired, { name: 'second' })).status).toBe(401);
  });

  it('does not use a token up when it is refused for another reason', async () => {
    await start({ nodes: 0 });
    const token = await createJoinToken(cloud.database, { uses: 1, ttlSeconds: 60 });
    expect((await register(token, { region: 'nowhere' })).status).toBe(400);
    expect((await register(token)).status).toBe(201);
  });

  it.each([
    ['a protocol from far away', { protocolVersion: 2 ** 40 }],
    ['more processors than there are', { capacity: { cpus: 1e9, memoryMib: 1, diskGib: 1, gpus: [] } }],
    ['a name that is a path', { name: '../node' }],
    ['NUL in the region', { region: 'a\u0000' }],
    ['NUL in the hypervisor', { hypervisor: 'a\u0000' }],
  ])('is refused with %s', async (_, change) => {
    await start({ nodes: 0 });
    expect((await register(JOIN_TOKEN, change)).status).toBe(400);
    expect(await cloud.database.query('SELECT 1 FROM compute_node')).toEqual([]);
  });

  it('is open to workers that are newer than the conductor, and say more than it knows', async () => {
    await start({ nodes: 0 });
    const capacity = { ...registration().capacity, disks: [] };
    const { status, body } = await register(JOIN_TOKEN, { session: 7, cooling: 'water', capacity });
    expect({ status, session: body.session }).toEqual({ status: 201, session: 1 });
    const tell = async (path: string, said: object): Promise<number> =>
      (await cloud.request('POST', `/compute/${path}`, { session: 1, mood: 'good', ...said }, asBearer(body.nodeKey))).status;
    const answers = [
      await tell('heartbeat', { inventoryDigest: 'a', inventory: [{ vmUuid: randomUUID(), incarnationId: 1, state: 'running', mood: 'good' }] }),
      await tell('reports', { reports: [] }),
      await tell('removed-volumes', { volumes: [] }),
      await tell('removed-snapshots', { snapshots: [] }),
      await tell('prepared-volumes', { volumes: [] }),
      await tell('metrics', { batch: 1, samples: [] }),
    ];
    expect(answers.filter((answer) => answer >= 400)).toEqual([]);
    expect(await sessionOf('by-hand')).toBe(1);
  });

  it('under the name of a live node is refused, and the live node goes on', async () => {
    await start();
    const { status, body } = await register(JOIN_TOKEN, { name: 'node-1' });
    expect(status).toBe(409);
    expect(body.message).toContain('A node named node-1 is alive');
    await vms.active({});
  });

  it('is not needed twice: a worker that starts again with its key keeps its node and its VMs', async () => {
    await start();
    const vm = await vms.active({});
    const [node] = cloud.nodes as [CloudNode];
    const key = await keyOf(node);
    await node.stop();
    await node.start();
    expect(await keyOf(node)).toBe(key);
    expect(await sessionOf('node-1')).toBe(2);
    expect((await vms.get(`/${vm.id}`)).body.instance.status).toBe('ACTIVE');
    await vms.delete(`/${vm.id}`);
    await vms.gone(vm.id);
  });

  it('is no leave to break a conductor: whatever a worker says is taken or refused', async () => {
    await start({ nodes: 0 });
    const { nodeKey, session } = (await register(JOIN_TOKEN)).body;
    const said = async (path: string, body: object, secret: string = nodeKey): Promise<string> => {
      const { status } = await cloud.request('POST', `/compute/${path}`, body, asBearer(secret));
      return `${path} ${JSON.stringify(body).slice(0, 80)}: ${status}`;
    };
    const beat = { inventoryDigest: 'a' };
    const outOfBounds = [-1, 2 ** 31, 2 ** 53, 1e300].flatMap((session) => [
      said('heartbeat', { session, ...beat }),
      said('reports', { session, reports: [] }),
      said('metrics', { session, batch: 1, samples: [] }),
      said('removed-volumes', { session, volumes: [] }),
      said('removed-snapshots', { session, snapshots: [] }),
      said('prepared-volumes', { session, volumes: [] }),
      said('image-news', { session, news: [] }),
    ]);
    const unstorable = ['\0', '\ud800', '\u2028'].flatMap((text, index) => [
      said('heartbeat', { session, inventoryDigest: text, inventory: [] }),
      said('heartbeat', { session, ...beat, inventory: [], foreign: [{ uuid: randomUUID(), name: text }] }),
      said('prepared-volumes', { session, volumes: [{ uuid: randomUUID(), fault: text }] }),
      said('register', registration({ name: `n${index}`, capacity: { ...registration().capacity, gpus: [{ model: text, count: 1 }] } }), JOIN_TOKEN),
    ]);
    for (const answer of await Promise.all([...outOfBounds, ...unstorable])) expect(answer).toMatch(/: (2|4)\d\d$/);
    for (const answer of await Promise.all(outOfBounds)) expect(answer).toMatch(/: 400$/);
  });

  it('has the words of a worker cut to what can be kept, and not refused', async () => {
    await start({ nodes: 0 });
    const { nodeKey, session } = (await register(JOIN_TOKEN)).body;
    const volumes = [{ uuid: randomUUID(), fault: `\0${'very '.repeat(1000)}long` }];
    expect((await cloud.request('POST', '/compute/prepared-volumes', { session, volumes }, asBearer(nodeKey))).status).toBe(201);
  });

  it('sends the older of two workers with one key away', async () => {
    await start();
    const [node] = cloud.nodes as [CloudNode];
    const key = await keyOf(node);
    expect((await register(key, { name: 'node-1' })).body).toMatchObject({ session: 2 });
    expect((await report(key, 1)).status).toBe(409);
    const beat = { session: 1, inventoryDigest: '' };
    expect((await cloud.request('POST', '/compute/heartbeat', beat, asBearer(key))).status).toBe(409);
    await eventually(() => expect(node.eviction?.message).toContain("Another worker has registered as 'node-1'"));
  });

  it('gives a key that opens nothing else, and no other key opens the fleet', async () => {
    await start();
    const key = await keyOf(cloud.nodes[0]!);
    for (const headers of [asBearer(key), { api_key: key }])
      expect((await cloud.request('GET', '/v1/core/virtual-machines', undefined, headers)).status).toBe(401);
    expect((await report(cloud.demo.key, 1)).status).toBe(401);
    expect((await report(JOIN_TOKEN, 1)).status).toBe(401);
    expect((await register(key, { name: 'another-name' })).status).toBe(409);
  });
});

describe('a report', () => {
  it('on another node’s VM is told that it has ended, and changes nothing', async () => {
    await start();
    const vm = await vms.active({});
    const { id: incarnationId, task: taskId, sequence } = await incarnationOf(vm.id);
    const { nodeKey, session } = (await register(JOIN_TOKEN)).body;
    const before = await rowsOf(vm.id);
    const news = { incarnationId, taskId, generation: 1, sequence: sequence + 1 };
    for (const observed of ['absent', 'failed', 'stopped', 'building', 'running'])
      expect((await report(nodeKey, session, { ...news, observed })).body).toEqual({ verdicts: ['ended'] });
    expect(await rowsOf(vm.id)).toEqual(before);
  });

  it('on a VM of its own cannot finish another VM’s task', async () => {
    await start({ nodes: 2 });
    // Both hang, so that both tasks stay unfinished.
    for (const node of cloud.nodes) node.hypervisor.misbehaviours = { start: { kind: 'slow', ms: 500 } };
    const { body } = await vms.post({ count: 2 });
    for (const { id } of body.instances) await vms.reaches(id, 'BUILD');
    const [own, foreign] = [await incarnationOf(body.instances[0].id), await incarnationOf(body.instances[1].id)];
    const [{ name }] = await cloud.database.query(
      'SELECT n.name FROM compute_node n JOIN incarnation i ON i.compute_node_id = n.id WHERE i.id = $1',
      [own.id],
    );
    const key = await keyOf(cloud.nodes.find((node) => node.name === name)!);
    const news = { incarnationId: own.id, taskId: foreign.task, generation: 1, sequence: own.sequence + 1, observed: 'running' };
    await report(key, await sessionOf(name), news);
    const [task] = await cloud.database.query('SELECT state FROM task WHERE id = $1', [foreign.task]);
    expect(task).toEqual({ state: 'published' });
    for (const { id } of body.instances) await vms.reaches(id, 'ACTIVE');
  });

  it('that comes again, or late, changes nothing', async () => {
    await start();
    const vm = await vms.active({});
    const key = await keyOf(cloud.nodes[0]!);
    const { id: incarnationId, sequence } = await incarnationOf(vm.id);
    const before = await rowsOf(vm.id);
    const again = { incarnationId, generation: 1, sequence, observed: 'running' };
    const late = { ...again, sequence: sequence - 1, observed: 'building' };
    const { body } = await report(key, 1, again, late, again, { ...late, observed: 'failed', reason: 'late' });
    expect(body).toEqual({ verdicts: ['accepted', 'stale', 'accepted', 'stale'] });
    expect(await rowsOf(vm.id)).toEqual(before);
  });

  it.each([
    ['a sequence that no column holds', { sequence: 1e300 }],
    ['a generation of none', { generation: 0 }],
    ['a state that is none', { observed: 'DELETED' }],
  ])('with %s is refused, and changes nothing', async (_, change) => {
    await start();
    const vm = await vms.active({});
    const { id: incarnationId, sequence } = await incarnationOf(vm.id);
    const before = await rowsOf(vm.id);
    const news = { incarnationId, generation: 1, sequence: sequence + 1, observed: 'stopped', ...change };
    expect((await report(await keyOf(cloud.nodes[0]!), 1, news)).status).toBe(400);
    expect(await rowsOf(vm.id)).toEqual(before);
  });

  it('that names an organization is about its own VM all the same', async () => {
    await start();
    const vm = await vms.active({});
    const { id: incarnationId, sequence } = await incarnationOf(vm.id);
    const [before] = await rowsOf(vm.id);
    const news = { incarnationId, generation: 1, sequence: sequence + 1, observed: 'running', organizationId: before.organization_id + 1 };
    expect((await report(await keyOf(cloud.nodes[0]!), 1, news)).body).toEqual({ verdicts: ['accepted'] });
    expect((await rowsOf(vm.id))[0]).toMatchObject({ organization_id: before.organization_id, observed: 'running' });
  });

  it('whose reason is too long is accepted with its beginning', async () => {
    await start();
    const vm = await vms.active({});
    const { id: incarnationId, sequence } = await incarnationOf(vm.id);
    const news = { incarnationId, generation: 1, sequence: sequence + 1, observed: 'failed', reason: 'x'.repeat(600) };
    expect((await report(await keyOf(cloud.nodes[0]!), 1, news)).body).toEqual({ verdicts: ['accepted'] });
    expect((await vms.get(`/${vm.id}`)).body.instance.fault).toBe('x'.repeat(500));
  });

  it('whose reason has characters that cannot be stored is accepted without them', async () => {
    await start();
    const vm = await vms.active({});
    const { id: incarnationId, sequence } = await incarnationOf(vm.id);
    const news = { incarnationId, generation: 1, sequence: sequence + 1, observed: 'failed', reason: 'broken\u0000 \ud83d' };
    expect((await report(await keyOf(cloud.nodes[0]!), 1, news)).body).toEqual({ verdicts: ['accepted'] });
    expect((await vms.get(`/${vm.id}`)).body.instance).toMatchObject({ status: 'ERROR', fault: 'broken\ufffd \ufffd' });
  });
});

describe('a node', () => {
  it('that is silent past its lease gets no new VMs, and gets them again when it is back', async () => {
    await start({ settings: { BATON_HEARTBEAT_SECONDS: '0.2', BATON_NODE_LEASE_SECONDS: '1' } });
    const [node] = cloud.nodes as [CloudNode];
    await node.stop();
    await eventually(async () => {
      const { status, body } = await vms.post({}, {}, '?dry_run=true');
      expect(status).toBe(409);
      expect(body.message).toContain('1 is down');
    });
    await node.start();
    const vm = await vms.active({});
    expect(vm.status).toBe('ACTIVE');
  });

  it('whose hypervisor fails puts the VM in ERROR with the reason, gives the claim back, and lets it be deleted', async () => {
    await start({ floatingIps: ['198.51.100.10'] });
    cloud.nodes[0]!.hypervisor.misbehaviours = { start: { kind: 'failing' } };
    const { body } = await vms.post({ name: 'unlucky', assign_floating_ip: true });
    const vm = await vms.reaches(body.instances[0].id, 'ERROR');
    expect(vm).toMatchObject({
      fault: expect.stringMatching(/^The simulated hypervisor was told to fail to start\. It cannot be tried elsewhere: .*already failed/),
      allowed_actions: ['delete'],
    });
    expect(await used()).toBe(0);
    expect(await cloud.nodes[0]!.hypervisor.inventory()).toEqual([]);
    const { instance_events: events } = (await vms.get(`/${vm.id}/events`)).body;
    expect(events.at(-1)).toMatchObject({ type: 'warning', reason: 'InstanceCreationFailed', message: vm.fault });

    expect((await vms.delete(`/${vm.id}`)).status).toBe(200);
    expect((await vms.get(`/${vm.id}`)).status).toBe(404);
    cloud.nodes[0]!.hypervisor.misbehaviours = {};
    await vms.active({ name: 'unlucky', assign_floating_ip: true });
  });

  it('that takes up an old task of a VM after its deletion was asked for leaves no task that is published for ever', async () => {
    await start();
    const node = cloud.nodes[0]!;
    const vm = await vms.active({ name: 'short-lived' });
    await node.stop();
    await vms.delete(`/${vm.id}`);
    // As after a broker that lost its message: it tells of the deletion too, now that it is published again.
    await cloud.database.query(
      `UPDATE task SET state = 'published', generation = 2, finished_at = NULL WHERE virtual_machine_id = $1 AND generation = 1`,
      [vm.id],
    );
    await node.start();
    await vms.gone(vm.id);
    const unfinished = () =>
      cloud.database.query(`SELECT state FROM task WHERE virtual_machine_id = $1 AND state IN ('pending', 'published')`, [vm.id]);
    await eventually(async () => expect(await unfinished()).toEqual([]));
  });

  it('whose worker breaks on a task ends it as ERROR, without the exception’s text, and the VM can be deleted', async () => {
    await start();
    cloud.nodes[0]!.hypervisor.misbehaviours = { start: { kind: 'broken' } };
    const { body } = await vms.post({});
    const vm = await vms.reaches(body.instances[0].id, 'ERROR');
    expect(vm.fault).toContain('could not carry out what was asked of it');
    const events = await vms.get(`/${vm.id}/events`);
    expect(JSON.stringify([vm, events.body])).not.toMatch(/TypeError|is broken at/);
    const [task] = await cloud.database.query('SELECT state FROM task WHERE virtual_machine_id = $1', [vm.id]);
    expect(task).toEqual({ state: 'dead' });

    await vms.delete(`/${vm.id}`);
    await vms.gone(vm.id);
    expect(await used()).toBe(0);
    expect(await cloud.nodes[0]!.hypervisor.inventory()).toEqual([]);
  });

  it('whose worker broke on a task makes the VM when an operator asks for it once more', async () => {
    await start();
    const { hypervisor } = cloud.nodes[0]!;
    hypervisor.misbehaviours = { start: { kind: 'broken' } };
    const { body } = await vms.post({ count: 2 });
    const [mended, deleted] = body.instances as [{ id: number; name: string }, { id: number; name: string }];
    for (const { id } of body.instances) await vms.reaches(id, 'ERROR');
    const dead = await deadTasks(cloud.database);
    expect(dead.map(({ vm, power }) => [vm, power])).toEqual(expect.arrayContaining([[mended.name, 'running'], [deleted.name, 'running']]));
    const taskOf = (name: string): TaskId => dead.find(({ vm }) => vm === name)!.id;

    hypervisor.misbehaviours = {};
    expect(await replayDeadTask(cloud.database, taskOf(mended.name))).toBe('replayed');
    await vms.reaches(mended.id, 'ACTIVE');
    expect(await replayDeadTask(cloud.database, taskOf(mended.name))).toBe('not dead');
    await vms.delete(`/${deleted.id}`);
    await vms.gone(deleted.id);
    expect(await replayDeadTask(cloud.database, taskOf(deleted.name))).toBe('gone');
    expect(await fsck(cloud.database)).toEqual([]);
  });

  it('whose worker stops while it builds makes the VM when it starts again', async () => {
    await start();
    const [node] = cloud.nodes as [CloudNode];
    node.hypervisor.misbehaviours = { define: { kind: 'slow', ms: 300 } };
    const { body } = await vms.post({ count: 3 });
    await vms.reaches(body.instances[0].id, 'BUILD');
    await node.stop();
    await node.start();
    for (const { id } of body.instances) await vms.reaches(id, 'ACTIVE');
    expect(await node.hypervisor.inventory()).toHaveLength(3);
  });

  it('that is away takes up what was asked of it meanwhile', async () => {
    await start();
    const [node] = cloud.nodes as [CloudNode];
    const doomed = await vms.active({});
    await node.stop();
    const { body } = await vms.post({});
    await vms.delete(`/${doomed.id}`);
    await node.start();
    await vms.reaches(body.instances[0].id, 'ACTIVE');
    await vms.gone(doomed.id);
  });
});

describe('the relay', () => {
  it('keeps what the bus refuses, says so, and publishes it when the bus is back', async () => {
    let refusing = true;
    const published: string[] = [];
    await start({
      publisher: (bus) => ({
        connected: true,
        publish: async (node, task) => {
          if (refusing) throw new Error('the broker is away');
          published.push(task.taskId);
          return await bus.publish(node, task);
        },
        declareQueue: (node) => bus.declareQueue(node),
        consumeDeadLetters: (onDeadLetter) => bus.consumeDeadLetters(onDeadLetter),
        close: () => bus.close(),
      }),
    });
    const { status, body } = await vms.post({});
    expect(status).toBe(200);
    const { task } = await incarnationOf(body.instances[0].id);
    await eventually(async () => {
      const [row] = await cloud.database.query('SELECT state, last_error FROM task WHERE id = $1', [task]);
      expect(row).toEqual({ state: 'pending', last_error: 'the broker is away' });
    });
    expect((await vms.get(`/${body.instances[0].id}`)).body.instance.status).toBe('CREATING');
    refusing = false;
    await vms.reaches(body.instances[0].id, 'ACTIVE');
    expect(published).toEqual([task]);
  });

  it('makes a queue that somebody deleted again, and publishes then', async () => {
    let unroutable = 1;
    await start({
      publisher: (bus) => ({
        connected: true,
        publish: async (node, task) => (unroutable-- > 0 ? 'unroutable' : await bus.publish(node, task)),
        declareQueue: (node) => bus.declareQueue(node),
        consumeDeadLetters: (onDeadLetter) => bus.consumeDeadLetters(onDeadLetter),
        close: () => bus.close(),
      }),
    });
    await vms.active({ name: `vm-${randomUUID().slice(0, 8)}` });
    expect(unroutable).toBeLessThan(0);
  });
});
