/** What things cost per hour, set by the operator. What has no price costs nothing. */
import type { DataSource } from 'typeorm';
import type { UsageKind } from './usage-period.entity.js';

export interface PriceLine {
  readonly id: number;
  readonly kind: UsageKind;
  readonly item: string;
  readonly per_hour: number;
  readonly started_at: Date;
}

export const FLOATING_IP = '';

/** The prices in force; also of everything on offer that has none, as 0 and without a number of its own. */
const BOOK = `
  WITH offered AS (
    SELECT 'virtual-machine' AS kind, name AS item, min(created_at) AS since FROM flavor WHERE NOT custom GROUP BY name
    UNION ALL SELECT 'volume', unnest($1::text[]), (SELECT min(created_at) FROM flavor)
    UNION ALL SELECT 'floating-ip', '', (SELECT min(created_at) FROM flavor)
  )
  SELECT coalesce(p.id, 0) AS id, kind, item, coalesce(p.per_hour, 0)::float8 AS per_hour,
         coalesce(p.started_at, offered.since, now()) AS started_at
    FROM offered FULL JOIN (SELECT * FROM price WHERE ended_at IS NULL) p USING (kind, item)
   ORDER BY kind, item`;

export const priceBook = (dataSource: DataSource, volumeTypes: readonly string[]): Promise<PriceLine[]> =>
  dataSource.query<PriceLine[]>(BOOK, [volumeTypes]);

/** From now on; what was used before keeps the price of its time. The same price again changes nothing. */
export async function setPrice(dataSource: DataSource, kind: UsageKind, item: string, perHour: number): Promise<void> {
  await dataSource.transaction(async (transaction) => {
    await transaction.query('LOCK TABLE price IN SHARE ROW EXCLUSIVE MODE');
    const [present] = await transaction.query<{ id: number; same: boolean }[]>(
      'SELECT id, per_hour = $3::numeric(18,8) AS same FROM price WHERE kind = $1 AND item = $2 AND ended_at IS NULL',
      [kind, item, perHour],
    );
    if (present?.same === true) return;
    // One moment for both, taken once nobody else is at it.
    const [{ moment }] = await transaction.query<[{ moment: string }]>('SELECT clock_timestamp()::text AS moment');
    if (present !== undefined) await transaction.query('UPDATE price SET ended_at = $2 WHERE id = $1', [present.id, moment]);
    await transaction.query('INSERT INTO price (kind, item, per_hour, started_at) VALUES ($1, $2, $3, $4)', [
      kind,
      item,
      perHour,
      moment,
    ]);
  });
}
