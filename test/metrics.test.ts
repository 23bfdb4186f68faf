/** What VMs use: told by their nodes, summed up, shown, forgotten. */
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { NodeKeyFile } from '../src/compute/uplink/node-key.js';
import { fsck } from '../src/conductor/admin/fsck.js';
import { Metrics } from '../src/conductor/metrics/metrics.service.js';
import { startCloud, type Answer, type Cloud, type Json } from './support/cloud.js';
import { eventually } from './support/eventually.js';
import { mismatches } from './support/infrahub-model.js';
import { VmClient } from './support/vm-client.js';

jest.setTimeout(30_000);

const NAMES = ['cpu', 'disk.read', 'disk.write', 'memory.usages', 'network.in', 'network.out'];

let cloud: Cloud;
let vms: VmClient;
let vm: Json;
let metrics: Metrics;

beforeAll(async () => {
  cloud = await startCloud({ nodes: 2, settings: { BATON_METRICS_SECONDS: '0.2' } });
  vms = new VmClient(cloud);
  vm = await vms.active({ name: 'busy' });
  metrics = new Metrics(cloud.database);
});
afterAll(async () => {
  expect(await fsck(cloud.database)).toEqual([]);
  await cloud.stop();
});

const total = (body: Json, name: string): number => body[name].data.flat().reduce((sum: number, { value }: Json) => sum + value, 0);

/** Writes what a VM would have used, a minute each, from so many minutes ago. */
const minutes = (id: number, ago: number, count: number, cpuNs: number): Promise<unknown> =>
  cloud.database.query(
    `INSERT INTO vm_metric SELECT $1, 60, date_bin('1 minute', now(), timestamptz '2000-01-01Z') - make_interval(mins => $2 - n), $4, 100 + n, 1, 2, 3, 4
       FROM generate_series(0, $3 - 1) AS n`,
    [id, ago, count, cpuNs],
  );

describe('the metrics of a VM', () => {
  it('come from its node and grow', async () => {
    const first = await eventually(async () => {
      const { status, body } = await vms.get(`/${vm.id}/metrics`);
      expect(status).toBe(200);
      expect(total(body, 'cpu')).toBeGreaterThan(0);
      return body;
    });
    expect(mismatches('MetricsFields', first)).toEqual([]);
    expect(Object.keys(first).sort()).toEqual(NAMES);
    expect(first.cpu).toMatchObject({ columns: ['time', 'granularity', 'value'], unit: 'ns' });
    expect(first.cpu.data[0]).toEqual([{ time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:00$/), granularity: 60, value: expect.any(Number) }]);
    expect(NAMES.map((name) => first[name].unit)).toEqual(['ns', 'B', 'B', 'MB', 'B', 'B']);
    await eventually(async () => {
      const { body } = await vms.get(`/demo/busy/metrics?duration=1h`);
      for (const name of NAMES) expect([name, total(body, name) > 0]).toEqual([name, true]);
      expect(total(body, 'cpu')).toBeGreaterThan(total(first, 'cpu'));
    });
  });

  it.each(['1m', '31d', '', 'all'])('are not had for %j', async (duration) => {
    expect((await vms.get(`/${vm.id}/metrics?duration=${duration}`)).status).toBe(400);
  });

  it('of another organization are not found', async () => {
    const stranger = new VmClient(cloud, cloud.other);
    expect((await stranger.get(`/${vm.id}/metrics`)).status).toBe(404);
    expect((await stranger.get('/demo/busy/metrics')).status).toBe(404);
  });

  it.each(['1h', '2h', '4h', '6h', '12h', '1d', '3d', '7d', '15d', '30d'])('are had for %s', async (duration) => {
    expect((await vms.get(`/${vm.id}/metrics?duration=${duration}`)).status).toBe(200);
  });
});

describe('metrics that grow old', () => {
  it('are summed up once, by whichever of several conductors, without losing or doubling an amount', async () => {
    const { id } = await vms.active({ name: 'old' });
    await vms.get(`/${id}/stop`);
    await vms.reaches(id, 'SHUTOFF');
    await cloud.database.query('DELETE FROM vm_metric WHERE virtual_machine_id = $1', [id]);
    await minutes(id, 200, 180, 1_000);
    await cloud.database.query(
      `UPDATE metric_rollup SET done_until = date_bin('1 hour', now(), timestamptz '2000-01-01Z') - interval '5 hours'`,
    );
    const others = Array.from({ length: 3 }, () => new Metrics(cloud.database));
    await Promise.all(others.map((other) => other.rollUp()));
    await metrics.rollUp();
    const fives = (await vms.get(`/${id}/metrics?duration=1d`)).body;
    expect(fives.cpu.data.flat().every(({ granularity }: Json) => granularity === 300)).toBe(true);
    expect(total(fives, 'cpu')).toBe(180_000);
    const [{ hours, exact }] = await cloud.database.query<[{ hours: string; exact: string }]>(
      `SELECT (SELECT sum(cpu_ns) FROM vm_metric WHERE virtual_machine_id = $1 AND granularity = 3600) AS hours,
              (SELECT sum(cpu_ns) FROM vm_metric m WHERE virtual_machine_id = $1 AND granularity = 300
                  AND at < (SELECT done_until FROM metric_rollup WHERE granularity = 3600)) AS exact`,
      [id],
    );
    expect(hours).toBe(exact);
    expect(Number(hours)).toBeGreaterThan(0);
  });

  it('are forgotten', async () => {
    const { id } = await vms.active({ name: 'ancient' });
    await minutes(id, 13 * 60, 30, 1_000);
    await cloud.database.query(`INSERT INTO vm_metric VALUES ($1, 3600, now() - interval '32 days', 1, 1, 1, 1, 1, 1)`, [id]);
    await metrics.rollUp();
    const rows = await cloud.database.query(
      `SELECT FROM vm_metric WHERE virtual_machine_id = $1 AND at < now() - interval '1 hour'`,
      [id],
    );
    expect(rows).toHaveLength(0);
  });
});

describe('a node', () => {
  const sample = (change: object = {}) => ({
    vmUuid: vm.uuid,
    cpuNs: 1e15,
    memoryMib: 1,
    diskReadBytes: 0,
    diskWriteBytes: 0,
    networkInBytes: 0,
    networkOutBytes: 0,
    ...change,
  });
  const placement = async () =>
    (
      await cloud.database.query<[{ incarnation: number; node: string; session: number }]>(
        `SELECT i.id AS incarnation, n.name AS node, n.session FROM incarnation i JOIN compute_node n ON n.id = i.compute_node_id
          WHERE i.virtual_machine_id = $1 AND i.ended_at IS NULL`,
        [vm.id],
      )
    )[0];
  const say = async (node: string, body: object): Promise<Answer> => {
    const { stateFolder } = cloud.nodes.find(({ name }) => name === node)!;
    return cloud.request('POST', '/compute/metrics', body, { authorization: `Bearer ${await new NodeKeyFile(stateFolder).read()}` });
  };
  const huge = async (): Promise<number> => {
    const { body } = await vms.get(`/${vm.id}/metrics`);
    return Math.floor(total(body, 'cpu') / 1e15);
  };

  it('is counted once, though it says the same again', async () => {
    const { incarnation, node, session } = await placement();
    const batch = { session, batch: 1_000_000, samples: [sample({ incarnationId: incarnation })] };
    expect((await say(node, batch)).status).toBe(200);
    expect((await say(node, batch)).status).toBe(200);
    expect(await huge()).toBe(1);
  });

  it('tells of its own VMs alone', async () => {
    const { incarnation, node } = await placement();
    const before = await huge();
    const stranger = cloud.nodes.find(({ name }) => name !== node)!.name;
    const [{ session }] = await cloud.database.query<[{ session: number }]>('SELECT session FROM compute_node WHERE name = $1', [stranger]);
    const samples = [sample({ incarnationId: incarnation })];
    expect((await say(stranger, { session, batch: 1_000_000, samples })).status).toBe(200);
    expect(await huge()).toBe(before);
    expect((await say(stranger, { session: session - 1, batch: 1_000_001, samples })).status).toBe(409);
    expect((await cloud.request('POST', '/compute/metrics', { session, batch: 1, samples })).status).toBe(401);
  });

  it.each([[{ cpuNs: -1 }], [{ cpuNs: 1.5 }], [{ memoryMib: 2 ** 40 }], [{ diskReadBytes: 2 ** 60 }]])('is refused with %j', async (change) => {
    const { incarnation, node, session } = await placement();
    const answer = await say(node, { session, batch: 2_000_000, samples: [sample({ incarnationId: incarnation, ...change })] });
    expect(answer.status).toBe(400);
  });
});
