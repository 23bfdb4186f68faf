/** Drift, as operators see it. */
import type { DataSource } from 'typeorm';
import type { DriftOutcome } from './drift.entity.js';
import type { DriftAction, DriftKind } from './drift-policy.js';

export interface ListedDrift {
  readonly node: string;
  /** The name of the VM, or of the domain where there is none. */
  readonly domain: string;
  readonly uuid: string;
  readonly vmId: number | null;
  readonly kind: DriftKind;
  readonly since: Date;
  readonly action: DriftAction;
  readonly outcome: DriftOutcome;
  readonly attempts: number;
  readonly endedAt: Date | null;
}

const LIST = `
  SELECT n.name AS node, d.domain_name AS domain, d.domain_uuid AS uuid, d.virtual_machine_id AS "vmId", d.kind, d.since,
         d.action, d.outcome, d.attempts, d.ended_at AS "endedAt"
    FROM drift d JOIN compute_node n ON n.id = d.compute_node_id`;

/** What there is now, and what was given up or failed within a day; with `all`, also what is over, of the last week. */
export const listDrift = (on: Pick<DataSource, 'query'>, { all }: { all: boolean }): Promise<ListedDrift[]> =>
  on.query<ListedDrift[]>(
    `${LIST} WHERE $1 OR d.ended_at IS NULL OR (d.outcome IN ('given up', 'failed') AND d.ended_at > now() - interval '1 day')
      ORDER BY d.since, d.id`,
    [all],
  );
