/** How long the audit is kept. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { AuditRetention } from '../src/conductor/audit/audit-retention.js';
import { startCloud, type Cloud } from './support/cloud.js';

let cloud: Cloud;

beforeAll(async () => {
  cloud = await startCloud({ nodes: 0 });
}, 60_000);

afterAll(() => cloud.stop());

const write = (rows: number, daysAgo: number): Promise<unknown> =>
  cloud.database.query(
    `INSERT INTO audit_entry (organization_id, user_id, time, resource, resource_ids)
     SELECT organization_id, user_id, now() - make_interval(days => $2), 'test', '{}' FROM api_key, generate_series(1, $1) LIMIT $1`,
    [rows, daysAgo],
  );

const olderThan = async (days: number): Promise<number> =>
  (await cloud.database.query('SELECT count(*)::int AS n FROM audit_entry WHERE time < now() - make_interval(days => $1)', [days]))[0].n;

describe('the audit', () => {
  it('is forgotten after its time, a bounded number of rows at once, and no row before', async () => {
    await write(12_000, 40);
    await write(3, 29);
    await write(15_000, 31);
    const conductors = Array.from({ length: 3 }, () => new AuditRetention(cloud.database, { auditDays: 30 }));
    await conductors[0]!.forget();
    expect(await olderThan(30)).toBe(17_000);
    await Promise.all(conductors.map((conductor) => conductor.forget()));
    for (let n = 0; n < 3; n++) await conductors[n]!.forget();
    expect(await olderThan(30)).toBe(0);
    expect(await olderThan(28)).toBe(3);
  }, 60_000);

  it('is kept by a conductor that is told no time', async () => {
    await write(1, 4000);
    const forever = new AuditRetention(cloud.database, { auditDays: 0 });
    await forever.forget();
    expect(await olderThan(3999)).toBe(1);
  });
});
