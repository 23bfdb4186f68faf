/**
 * What was used and what it costs, in windows of time: the periods of usage cut at the bounds of each window, times the
 * prices that were in force. Computed anew with every question, from rows that never change once they have ended, so
 * that the same question has the same answer, and windows that meet add up.
 *
 * A hibernated VM costs nothing: it has given its claim back but for the disk.
 */
import type { DataSource } from 'typeorm';
import type { OrganizationId } from '../../protocol/ids.js';
import type { UsageKind, UsageState } from './usage-period.entity.js';

/** From `since`, without `until`; what has not happened yet is not counted. */
export interface Window {
  readonly since: Date;
  readonly until: Date;
}

/** A piece of a period of usage, inside one window. */
export interface Charge {
  /** Index of the window. */
  readonly window: number;
  readonly kind: UsageKind;
  /** Of the VM or volume; of a floating IP, the VM that held it. */
  readonly resource_id: number;
  readonly item: string;
  readonly state: UsageState;
  readonly since: Date;
  readonly hours: number;
  readonly cost: number;
  /** Per hour, at the end of the piece. */
  readonly rate: number;
  /** Whether it was still held at the end of the window. */
  readonly held: boolean;
}

export interface Holding {
  readonly kinds: readonly UsageKind[];
  /** All of the organization's without it. */
  readonly resourceIds?: readonly number[];
}

const CHARGES = `
  SELECT w.number - 1 AS window, u.kind, u.resource_id, u.item, u.state, piece.since,
         (extract(epoch FROM piece.until - piece.since) / 3600)::float8 AS hours,
         (u.amount * cost.total)::float8 AS cost, (u.amount * coalesce(cost.last, 0))::float8 AS rate,
         u.ended_at IS NULL OR u.ended_at > piece.until AS held
    FROM unnest($2::timestamptz[], $3::timestamptz[]) WITH ORDINALITY AS w(since, until, number)
    JOIN usage_period u ON u.started_at < w.until AND (u.ended_at IS NULL OR u.ended_at > w.since)
   CROSS JOIN LATERAL (
     SELECT greatest(u.started_at, w.since) AS since, least(u.ended_at, w.until, clock_timestamp()) AS until
   ) piece
   CROSS JOIN LATERAL (
     SELECT coalesce(sum(p.per_hour * extract(epoch FROM least(p.ended_at, piece.until) - greatest(p.started_at, piece.since)) / 3600), 0) AS total,
            max(p.per_hour) FILTER (WHERE p.ended_at IS NULL OR p.ended_at >= piece.until) AS last
       FROM price p
      WHERE u.state <> 'hibernated' AND p.kind = u.kind AND p.item = u.item
        AND p.started_at < piece.until AND (p.ended_at IS NULL OR p.ended_at > piece.since)
   ) cost
   WHERE u.organization_id = $1 AND u.kind = ANY($4) AND ($5::int[] IS NULL OR u.resource_id = ANY($5)) AND piece.until > piece.since
   ORDER BY w.number, u.kind, u.resource_id, u.id`;

export async function chargesOf(
  dataSource: DataSource,
  organizationId: OrganizationId,
  windows: readonly Window[],
  { kinds, resourceIds }: Holding,
): Promise<Charge[]> {
  const rows = await dataSource.query<Charge[]>(CHARGES, [
    organizationId,
    windows.map(({ since }) => since),
    windows.map(({ until }) => until),
    kinds,
    resourceIds ?? null,
  ]);
  return rows.map((row) => ({ ...row, window: Number(row.window) }));
}

/** To the eighth decimal place, as prices are kept: what is left of it is the noise of floating point. */
export const money = (amount: number): number => Math.round(amount * 1e8) / 1e8;

const sum = (charges: readonly Charge[], value: (charge: Charge) => number): number =>
  charges.reduce((total, charge) => total + value(charge), 0);

export const costOf = (charges: readonly Charge[]): number => money(sum(charges, ({ cost }) => cost));

/** What is still held at the end of the window costs this much per hour. */
export const rateOf = (charges: readonly Charge[]): number =>
  money(sum(charges, ({ held, rate }) => (held ? rate : 0)));

/** Of VMs in a state, or of what has none; floating IPs are held beside their VM and add no time. */
export const hoursOf = (charges: readonly Charge[], state?: UsageState): number =>
  sum(charges, (charge) => (charge.kind !== 'floating-ip' && (state === undefined || charge.state === state) ? charge.hours : 0));

export function grouped<Key>(charges: readonly Charge[], keyOf: (charge: Charge) => Key): ReadonlyMap<Key, readonly Charge[]> {
  const groups = new Map<Key, Charge[]>();
  for (const charge of charges) {
    const group = groups.get(keyOf(charge));
    if (group === undefined) groups.set(keyOf(charge), [charge]);
    else group.push(charge);
  }
  return groups;
}
