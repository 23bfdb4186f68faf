/**
 * Usage held against a model: whatever happens to a VM, its periods are what the model says, one after the other; and
 * whatever periods and prices there are, every window costs what the model says, and windows that meet add up.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { DataSource } from 'typeorm';
import { chargesOf, costOf, hoursOf, type Charge } from '../src/conductor/billing/charges.js';
import { PARTS } from '../src/conductor/billing/usage.service.js';
import { dataSourceOptions } from '../src/conductor/database/data-source.js';
import { migrate } from '../src/conductor/database/migrate.js';
import { loadConfig } from '../src/config/load.js';
import type { OrganizationId } from '../src/protocol/ids.js';
import { CloudRows, type Machine, type Tenant } from './fixtures/cloud-rows.js';
import { freshDatabase } from './support/servers.js';

let database: DataSource;
let rows: CloudRows;

beforeAll(async () => {
  const config = loadConfig(['conductor'], {}, { DATABASE_URL: await freshDatabase() });
  database = await new DataSource(dataSourceOptions({ ...config, databasePool: 4 })).initialize();
  await migrate(database);
  rows = new CloudRows(database);
}, 60_000);
afterAll(async () => await database?.destroy());

const STATE = {
  ACTIVE: 'running',
  SHUTOFF: 'stopped',
  HIBERNATED: 'hibernated',
  CREATING: 'nothing',
  BUILD: 'nothing',
  ERROR: 'nothing',
  DELETING: 'nothing',
  DELETED: 'nothing',
  STARTING: 'as before',
  STOPPING: 'as before',
  REBOOTING: 'as before',
  HIBERNATING: 'as before',
  RESTORING: 'as before',
  RESIZING: 'as before',
} as const;
type Status = keyof typeof STATE;
const STATUSES = Object.keys(STATE) as Status[];

interface Step {
  readonly status: Status;
  readonly flavor: 0 | 1;
}

/** What was held, without repetitions; null: nothing. */
function expected(steps: readonly Step[]): string[] {
  const held: (string | null)[] = [];
  let state: string = 'nothing';
  for (const { status, flavor } of steps) {
    state = STATE[status] === 'as before' ? state : STATE[status];
    const now = state === 'nothing' ? null : `${state} ${flavor}`;
    if (now !== (held.at(-1) ?? null)) held.push(now);
  }
  return held.filter((one) => one !== null);
}

interface PeriodRow {
  readonly item: string;
  readonly state: string;
  readonly started_at: string;
  readonly ended_at: string | null;
}

async function flavors(machine: Machine): Promise<{ id: number; name: string }[]> {
  await database.query(
    `INSERT INTO flavor (region_id, name, cpu, ram_mib, disk, gpu, gpu_count)
     SELECT region_id, name || '-larger', cpu, ram_mib, disk, gpu, gpu_count FROM flavor
      WHERE id = (SELECT flavor_id FROM virtual_machine WHERE id = $1)`,
    [machine.id],
  );
  return await database.query(
    `SELECT f.id, f.name FROM flavor f, flavor own, virtual_machine vm
      WHERE vm.id = $1 AND own.id = vm.flavor_id AND f.name IN (own.name, own.name || '-larger') ORDER BY f.id`,
    [machine.id],
  );
}

describe('the periods of a VM', () => {
  it('are what happened to it, one after the other, whatever that was', async () => {
    const tenant = await rows.tenant();
    const step = fc.record({ status: fc.constantFrom(...STATUSES), flavor: fc.constantFrom<0 | 1>(0, 1) });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 14 }), async (steps) => {
        const machine = await rows.machine(tenant);
        const choice = await flavors(machine);
        await database.transaction(async (transaction) => {
          for (const { status, flavor } of steps)
            await transaction.query('UPDATE virtual_machine SET status = $2, flavor_id = $3 WHERE id = $1', [machine.id, status, choice[flavor]!.id]);
        });
        const periods = await database.query<PeriodRow[]>(
          `SELECT item, state, started_at::text, ended_at::text FROM usage_period WHERE kind = 'virtual-machine' AND resource_id = $1 ORDER BY id`,
          [machine.id],
        );
        expect(periods.map(({ state, item }) => `${state} ${choice.findIndex(({ name }) => name === item)}`)).toEqual(expected(steps));
        for (const [index, { started_at }] of periods.slice(1).entries()) expect(periods[index]!.ended_at! <= started_at).toBe(true);
        for (const { ended_at } of periods.slice(0, -1)) expect(ended_at).not.toBeNull();
      }),
      { numRuns: 60 },
    );
  }, 60_000);

  it('do not change when the same is said twice', async () => {
    const machine = await rows.machine(await rows.tenant());
    const periods = () => database.query('SELECT * FROM usage_period WHERE resource_id = $1 ORDER BY id', [machine.id]);
    const say = () => database.query(`UPDATE virtual_machine SET status = 'ACTIVE' WHERE id = $1`, [machine.id]);
    await say();
    const before = await periods();
    await say();
    expect(before).toHaveLength(1);
    expect(await periods()).toEqual(before);
  });
});

const HOUR = 3_600_000;
/** Two months meet in the middle. */
const ORIGIN = Date.UTC(2026, 0, 31);
const at = (hour: number): Date => new Date(ORIGIN + hour * HOUR);

interface Span {
  readonly from: number;
  readonly to: number;
  readonly weight: number;
}

/** Spans that follow each other, with gaps. */
const spans = (most: number, weights: readonly number[]): fc.Arbitrary<Span[]> =>
  fc
    .array(fc.record({ gap: fc.nat(9), length: fc.integer({ min: 1, max: 20 }), weight: fc.constantFrom(...weights) }), { maxLength: most })
    .map((parts) => {
      let hour = 0;
      return parts.map(({ gap, length, weight }) => {
        const from = hour + gap;
        hour = from + length;
        return { from, to: hour, weight };
      });
    });

const overlap = (a: Span, from: number, to: number): number => Math.max(0, Math.min(a.to, to) - Math.max(a.from, from));

async function insertSpans(tenant: Tenant, vmId: number, used: readonly Span[], prices: readonly Span[], item: string): Promise<void> {
  for (const { from, to } of used)
    await database.query(
      `INSERT INTO usage_period (organization_id, kind, resource_id, item, state, amount, started_at, ended_at)
       VALUES ($1, 'virtual-machine', $2, $3, 'running', 1, $4, $5)`,
      [tenant.organizationId, vmId, item, at(from), at(to)],
    );
  for (const { from, to, weight } of prices)
    await database.query(
      `INSERT INTO price (kind, item, per_hour, started_at, ended_at) VALUES ('virtual-machine', $1, $2, $3, $4)`,
      [item, weight, at(from), at(to)],
    );
}

describe('a window of time', () => {
  it('has the hours and the cost of what lies in it, and adds up with the next, also over the end of a month', async () => {
    const tenant = await rows.tenant();
    const hour = fc.nat(120);
    const organizationId = tenant.organizationId as OrganizationId;
    await fc.assert(
      fc.asyncProperty(spans(6, [1]), spans(4, [0, 0.25, 3]), fc.tuple(hour, hour, hour), async (used, prices, cuts) => {
        const machine = await rows.machine(tenant);
        const [a, b, c] = cuts.toSorted((x, y) => x - y) as [number, number, number];
        await insertSpans(tenant, machine.id, used, prices, `flavor of ${machine.id}`);
        const charges = (from: number, to: number): Promise<Charge[]> =>
          chargesOf(database, organizationId, [{ since: at(from), until: at(to) }], { kinds: PARTS['virtual-machine'], resourceIds: [machine.id] });
        const [first, second, whole] = [await charges(a, b), await charges(b, c), await charges(a, c)];
        const hours = used.reduce((total, span) => total + overlap(span, a, c), 0);
        const cost = used.reduce(
          (total, span) =>
            total +
            prices.reduce((sum, price) => sum + price.weight * overlap(price, Math.max(a, span.from), Math.min(c, span.to)), 0),
          0,
        );
        expect(hoursOf(whole)).toBeCloseTo(hours, 6);
        expect(costOf(whole)).toBeCloseTo(cost, 6);
        expect(hoursOf(first) + hoursOf(second)).toBeCloseTo(hours, 6);
        expect(costOf(first) + costOf(second)).toBeCloseTo(cost, 6);
        expect(await charges(a, c)).toEqual(whole);
      }),
      { numRuns: 60 },
    );
  }, 60_000);
});
