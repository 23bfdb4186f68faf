/** Many creations at once for what little there is, at several conductors: nothing is sold twice, nothing half. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { startCloud, type Answer, type Cloud } from './support/cloud.js';
import { VmClient } from './support/vm-client.js';

const CONDUCTORS = 3;
const GPU_FLAVOR = 'n3-L40x1';

let cloud: Cloud;
let conductors: VmClient[];

async function start(options: Parameters<typeof startCloud>[0]): Promise<void> {
  cloud = await startCloud({ conductors: CONDUCTORS, settings: { BATON_CPU_ALLOCATION_RATIO: '1' }, ...options });
  conductors = cloud.urls.map((_, index) => new VmClient(cloud, cloud.demo, index));
}

const atEveryConductor = (times: number, change: object, headers: Record<string, string> = {}): Promise<Answer[]> =>
  Promise.all(Array.from({ length: times }, () => conductors.map((vms) => vms.post(change, headers))).flat());

const withStatus = (answers: readonly Answer[], status: number): Answer[] => answers.filter((answer) => answer.status === status);

/** Refused for want of room, in words: never an error of ours. */
function expectOnlyHonestRefusals(answers: readonly Answer[]): void {
  for (const { status, body } of answers)
    if (status !== 200) {
      expect([409, 503]).toContain(status);
      expect(body).toMatchObject({ status: false, error_reason: status === 409 ? 'no_capacity' : 'unavailable' });
    }
}

/** What each node and pool says is taken, against the sum of the claims held on it. */
async function expectSumsToBeExact(): Promise<void> {
  const nodes = await cloud.database.query(
    `SELECT n.name, n.vcpus_used - coalesce(sum(i.vcpus), 0)::int AS vcpus,
            n.memory_mib_used - coalesce(sum(i.memory_mib), 0)::int AS memory,
            n.disk_gib_used - coalesce(sum(i.disk_gib), 0)::int AS disk
       FROM compute_node n LEFT JOIN incarnation i ON i.compute_node_id = n.id AND i.claimed GROUP BY n.id`,
  );
  for (const node of nodes) expect(node).toMatchObject({ vcpus: 0, memory: 0, disk: 0 });
  const pools = await cloud.database.query(
    `SELECT g.used - coalesce(sum(i.gpu_count), 0)::int AS gpus FROM compute_node_gpu g
       LEFT JOIN incarnation i ON i.compute_node_id = g.compute_node_id AND i.gpu_model = g.model AND i.claimed
      GROUP BY g.compute_node_id, g.model, g.used`,
  );
  for (const pool of pools) expect(pool).toEqual({ gpus: 0 });
}

async function deleteEverything(): Promise<void> {
  const { body } = await conductors[0]!.get('');
  for (const { id } of body.instances) await conductors[0]!.reaches(id, 'ACTIVE');
  await Promise.all(body.instances.map(({ id }: { id: number }) => conductors[0]!.delete(`/${id}`)));
  for (const { id } of body.instances) await conductors[0]!.gone(id);
}

describe('a node with room for exactly ten VMs', () => {
  beforeAll(() => start({ capacity: { cpus: 100, memoryMib: 2_560, diskGib: 1_000 } }), 60_000);
  afterEach(deleteEverything);
  afterAll(() => cloud.stop());

  it('takes ten of ninety that arrive at three conductors at once', async () => {
    const answers = await atEveryConductor(30, {});
    expect(withStatus(answers, 200)).toHaveLength(10);
    expectOnlyHonestRefusals(answers);
    await expectSumsToBeExact();
    const [node] = await cloud.database.query('SELECT memory_mib_used, memory_mib_total FROM compute_node');
    expect(node).toEqual({ memory_mib_used: 2_560, memory_mib_total: 2_560 });
  }, 30_000);

  it('takes whole series or nothing of them', async () => {
    const answers = await atEveryConductor(10, { count: 3 });
    expect(withStatus(answers, 200)).toHaveLength(3);
    expectOnlyHonestRefusals(answers);
    expect(await conductors[0]!.count()).toBe(9);
    await expectSumsToBeExact();
  }, 30_000);

  it('gives its last slot to one request, however often that request is sent', async () => {
    await conductors[0]!.post({ count: 9 });
    const answers = await atEveryConductor(10, {}, { 'Idempotency-Key': 'the-last-slot' });
    expect(withStatus(answers, 200)).toHaveLength(30);
    expect(new Set(answers.map(({ text }) => JSON.parse(text).instances[0].id)).size).toBe(1);
    await expectSumsToBeExact();
  }, 30_000);

  it('sells again what was given back, while others go on asking', async () => {
    const { body } = await conductors[0]!.post({ count: 10 });
    for (const { id } of body.instances) await conductors[0]!.reaches(id, 'ACTIVE');
    const [deletions, answers] = await Promise.all([
      Promise.all(body.instances.slice(0, 5).map(({ id }: { id: number }) => conductors[1]!.delete(`/${id}`))),
      atEveryConductor(20, {}),
    ]);
    expect(withStatus(deletions as Answer[], 200)).toHaveLength(5);
    expectOnlyHonestRefusals(answers);
    for (const { id } of body.instances.slice(0, 5)) await conductors[0]!.gone(id);
    const later = await atEveryConductor(4, {});
    expect(withStatus(answers, 200).length + withStatus(later, 200).length).toBe(5);
    await expectSumsToBeExact();
  }, 30_000);
});

describe('three nodes with room for four VMs each', () => {
  beforeEach(() => start({ nodes: 3, capacity: { cpus: 4, memoryMib: 100_000, diskGib: 1_000 } }), 60_000);
  afterEach(() => cloud.stop());

  it('take twelve VMs in series of four from all conductors, never a part of one', async () => {
    const answers = await atEveryConductor(6, { count: 4 });
    expectOnlyHonestRefusals(answers);
    const taken = withStatus(answers, 200).length;
    expect(taken).toBe(3);
    expect(await conductors[0]!.count()).toBe(12);
    await expectSumsToBeExact();
  }, 30_000);

  it('leave no claim on any node when a series does not fit altogether', async () => {
    await conductors[0]!.post({ count: 2 });
    const { status, body } = await conductors[0]!.post({ count: 11 });
    expect(status).toBe(409);
    expect(body.message).toMatch(/^Only 10 of 11 × 1 vCPU, .* can be placed in region default-1: for one more, of 3 nodes/);
    expect(await conductors[0]!.count()).toBe(2);
    await expectSumsToBeExact();
  });
});

describe('a pool of five GPUs on two nodes', () => {
  beforeAll(async () => {
    await start({ nodes: 0, capacity: { cpus: 1_000, memoryMib: 10_000_000, diskGib: 10_000 } });
    await cloud.addNode('node-1', { gpus: [{ model: 'L40', count: 3 }] });
    await cloud.addNode('node-2', { gpus: [{ model: 'L40', count: 2 }, { model: 'A100', count: 1 }] });
  }, 60_000);
  afterAll(() => cloud.stop());

  it('is given to five of thirty', async () => {
    const answers = await atEveryConductor(10, { flavor_name: GPU_FLAVOR });
    expect(withStatus(answers, 200)).toHaveLength(5);
    expectOnlyHonestRefusals(answers);
    await expectSumsToBeExact();
    const pools = await cloud.database.query('SELECT model, total, used FROM compute_node_gpu ORDER BY model, total');
    expect(pools).toEqual([
      { model: 'A100', total: 1, used: 0 },
      { model: 'L40', total: 2, used: 2 },
      { model: 'L40', total: 3, used: 3 },
    ]);
  }, 30_000);

  it('is free again when its VMs are gone', async () => {
    await deleteEverything();
    const [{ used }] = await cloud.database.query('SELECT sum(used)::int AS used FROM compute_node_gpu');
    expect(used).toBe(0);
    await expectSumsToBeExact();
  }, 30_000);
});

describe('the last four slots of a cloud of eight conductors', () => {
  beforeAll(() => start({ conductors: 8, capacity: { cpus: 100, memoryMib: 1_024, diskGib: 1_000 } }), 120_000);
  afterAll(() => cloud.stop());

  it('are sold to four of 512 that ask at once, 64 at each', async () => {
    const answers = await atEveryConductor(64, {});
    expect(withStatus(answers, 200)).toHaveLength(4);
    expectOnlyHonestRefusals(answers);
    expect(await conductors[0]!.count()).toBe(4);
    await expectSumsToBeExact();
    await deleteEverything();
    await expectSumsToBeExact();
  }, 60_000);
});
