/** A virtual machine whose first start fails on a node is undone there and tried on another. */
import { afterEach, describe, expect, it } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { fsck } from '../src/conductor/admin/fsck.js';
import type { Misbehaviours } from '../src/compute/hypervisor/simulated/misbehaviour.js';
import { startCloud, type Cloud, type CloudOptions, type Json } from './support/cloud.js';
import { eventually } from './support/eventually.js';
import { VmClient } from './support/vm-client.js';

let cloud: Cloud;
let vms: VmClient;

const FAILING: Misbehaviours = { start: { kind: 'failing' } };

async function start(options: CloudOptions = {}): Promise<void> {
  cloud = await startCloud(options);
  vms = new VmClient(cloud);
}

afterEach(async () => {
  await eventually(async () => expect(await fsck(cloud.database)).toEqual([])).finally(() => cloud.stop());
});

const everyNode = (misbehaviours: Misbehaviours): void => {
  for (const node of cloud.nodes) node.hypervisor.misbehaviours = misbehaviours;
};

const incarnationsOf = async (id: number): Promise<Json[]> =>
  cloud.database.query(
    `SELECT i.id, n.name AS node, i.attempt, i.failure, i.claimed, i.ended_at IS NOT NULL AS ended FROM incarnation i
       JOIN compute_node n ON n.id = i.compute_node_id WHERE i.virtual_machine_id = $1 ORDER BY i.id`,
    [id],
  );

const domains = async (): Promise<string[][]> =>
  Promise.all(cloud.nodes.map(async ({ hypervisor }) => (await hypervisor.inventory()).map(({ state }) => state)));

const used = async (): Promise<number> =>
  (await cloud.database.query('SELECT sum(vcpus_used)::int AS used FROM compute_node'))[0].used;

/** Starts fail, wherever they are tried, before the given one. */
async function failUntilAttempt(attempt: number): Promise<void> {
  let started = 0;
  for (const node of cloud.nodes) {
    const { hypervisor } = node;
    const startDomain = hypervisor.start.bind(hypervisor);
    hypervisor.start = async (identity) => {
      hypervisor.misbehaviours = ++started < attempt ? FAILING : {};
      await startDomain(identity);
    };
  }
}

describe('a VM whose first start fails on its node', () => {
  it('runs on another, with an address, one claim, and the reason among its events', async () => {
    await start({ nodes: 2, floatingIps: ['198.51.100.10'] });
    await failUntilAttempt(2);
    const vm = await vms.active({ name: 'lucky', assign_floating_ip: true });
    expect(vm).toMatchObject({ fault: null, floating_ip: '198.51.100.10' });

    const [first, second] = await incarnationsOf(vm.id);
    expect(first).toMatchObject({ attempt: 1, ended: true, claimed: false, failure: 'The simulated hypervisor was told to fail to start.' });
    expect(second).toMatchObject({ attempt: 2, ended: false, claimed: true, failure: null });
    expect(second.node).not.toBe(first.node);
    expect((await domains()).flat()).toEqual(['running']);
    expect(await used()).toBe(1);

    const { instance_events: events } = (await vms.get(`/${vm.id}/events`)).body;
    expect(events.find(({ reason }: Json) => reason === 'InstanceCreationRetry')).toMatchObject({
      type: 'warning',
      message: `Node ${first.node} could not make the virtual machine: The simulated hypervisor was told to fail to start. It is tried on node ${second.node} (2 of at most 3).`,
    });
  });

  it('is tried on three nodes at most, and ends in ERROR with the last reason and no claim', async () => {
    await start({ nodes: 4 });
    everyNode(FAILING);
    const { body } = await vms.post({});
    const vm = await vms.reaches(body.instances[0].id, 'ERROR');
    expect(vm.fault).toBe('The simulated hypervisor was told to fail to start.');
    const incarnations = await incarnationsOf(vm.id);
    expect(incarnations.map(({ attempt, ended }) => ({ attempt, ended }))).toEqual([1, 2, 3].map((attempt) => ({ attempt, ended: true })));
    expect(new Set(incarnations.map(({ node }) => node)).size).toBe(3);
    expect(await used()).toBe(0);
    expect((await domains()).flat()).toEqual([]);
  });

  it.each(['image', 'request'] as const)('because of its %s is not tried elsewhere', async (cause) => {
    await start({ nodes: 2 });
    everyNode({ define: { kind: 'failing', cause } });
    const { body } = await vms.post({});
    const vm = await vms.reaches(body.instances[0].id, 'ERROR');
    expect(await incarnationsOf(vm.id)).toHaveLength(1);
    expect(await used()).toBe(0);
  });

  it('leaves the node that failed with nothing of it, and refuses what that node still reports', async () => {
    await start({ nodes: 2 });
    await failUntilAttempt(2);
    const vm = await vms.active({});
    const [first] = await incarnationsOf(vm.id);
    const node = cloud.nodes.find(({ name }) => name === first.node)!;
    const key = (await readFile(`${node.stateFolder}/node.key`, 'utf8')).trim();
    const before = await cloud.database.query('SELECT * FROM virtual_machine WHERE id = $1', [vm.id]);
    const late = { incarnationId: first.id, generation: 1, sequence: 2 ** 40, observed: 'running' };
    const { body } = await cloud.request('POST', '/compute/reports', { session: 1, reports: [late] }, { authorization: `Bearer ${key}` });
    expect(body).toEqual({ verdicts: ['ended'] });
    expect(await cloud.database.query('SELECT * FROM virtual_machine WHERE id = $1', [vm.id])).toEqual(before);
  });

  it('does not lose its place in a full quota while it changes nodes', async () => {
    await start({ nodes: 2 });
    await cloud.database.query(`UPDATE organization_quota q SET vms_max = 1 FROM organization o WHERE o.id = q.organization_id AND o.name = 'demo'`);
    await failUntilAttempt(2);
    const { body } = await vms.post({});
    const rivals = Promise.all(Array.from({ length: 20 }, () => vms.post({})));
    await vms.reaches(body.instances[0].id, 'ACTIVE');
    for (const rival of await rivals) expect(rival.status).toBe(403);
  });

  it('is moved once though several conductors look, and many fail at once', async () => {
    await start({ nodes: 4, conductors: 3 });
    cloud.nodes[0]!.hypervisor.misbehaviours = FAILING;
    cloud.nodes[1]!.hypervisor.misbehaviours = FAILING;
    const bodies = await Promise.all(Array.from({ length: 10 }, () => vms.post({ count: 4 })));
    const ids = bodies.flatMap(({ body }) => body.instances.map(({ id }: Json) => id));
    for (const id of ids) await vms.reaches(id, 'ACTIVE');
    expect((await domains()).flat()).toHaveLength(40);
    const live = await cloud.database.query('SELECT count(*)::int AS live FROM incarnation WHERE ended_at IS NULL');
    expect(live).toEqual([{ live: 40 }]);
    expect(await used()).toBe(40);
  });
});

describe('a VM that had run', () => {
  it('and fails to start again keeps its node and its disk', async () => {
    await start({ nodes: 2 });
    const vm = await vms.active({});
    await vms.get(`/${vm.id}/stop`);
    await vms.reaches(vm.id, 'SHUTOFF');
    everyNode(FAILING);
    await vms.get(`/${vm.id}/start`);
    await vms.reaches(vm.id, 'ERROR');
    expect(await incarnationsOf(vm.id)).toHaveLength(1);
    expect((await domains()).flat()).toEqual(['stopped']);
  });
});
