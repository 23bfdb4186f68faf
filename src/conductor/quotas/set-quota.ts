/** What the operator allows an organization. A limit below what is there takes nothing away; it only allows no more. */
import type { DataSource } from 'typeorm';
import { QUOTA_KIND_NAMES, type QuotaKind } from './quota-refusal.js';

/** Null: without limit. What is not named stays. */
export type Limits = Readonly<Partial<Record<QuotaKind, number | null>>>;

export interface QuotaLine {
  readonly kind: QuotaKind;
  readonly used: number;
  readonly max: number | null;
}

/** @returns the quota as it is then; undefined when there is no such organization. */
export async function setQuota(dataSource: DataSource, organization: string, limits: Limits): Promise<QuotaLine[] | undefined> {
  const named = QUOTA_KIND_NAMES.filter((kind) => limits[kind] !== undefined);
  // The column's own name comes first: without a limit to set it is only read.
  const changes = ['organization_id = q.organization_id', ...named.map((kind, index) => `${kind}_max = $${index + 2}`)];
  const [row] = await dataSource.query<Record<string, number | null>[]>(
    `WITH changed AS (
       UPDATE organization_quota q SET ${changes.join(', ')} FROM organization o
        WHERE o.id = q.organization_id AND o.name = $1 RETURNING q.*)
     SELECT * FROM changed`,
    [organization, ...named.map((kind) => limits[kind])],
  );
  return row && QUOTA_KIND_NAMES.map((kind) => ({ kind, used: row[`${kind}_used`]!, max: row[`${kind}_max`]! }));
}
