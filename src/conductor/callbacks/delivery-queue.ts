/**
 * The outbox of webhooks as a queue: who may be delivered now, and what came of it. The only place that moves a
 * `callback_delivery` between its states.
 *
 * Races excluded:
 * - two deliverers, one row: a row is leased by moving `available_at` to the lease's end under `FOR UPDATE SKIP
 *   LOCKED`. A deliverer that dies gives the row back when the lease ends; one that is late cannot overwrite what its
 *   successor does, because a failure is recorded only while the lease is still its own.
 * - order: a row waits while an earlier one of the same VM or volume has not ended its *first* attempt. Retries do not hold up
 *   what comes later, so a webhook that keeps failing delays the VM's next one by one attempt, not by a day.
 * - a dead receiver: no host gets more than its share of the attempts under way, so others are not blocked by it.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { OrganizationId } from '../../protocol/ids.js';

export interface LeasedDelivery {
  readonly id: string;
  readonly organizationId: OrganizationId;
  readonly url: string;
  readonly body: string;
  readonly host: string;
  /** Attempts that have ended. */
  readonly attempts: number;
  /** Names this lease. PostgreSQL's own text, because a Date would lose its microseconds. */
  readonly leaseEnd: string;
  /** All that are valid, newest first. */
  readonly secrets: readonly string[];
}

export interface AttemptRecord {
  readonly id: string;
  readonly leaseEnd: string;
  readonly state: 'pending' | 'delivered' | 'failed';
  readonly responseStatus: number | null;
  readonly error: string | null;
  /** Until the next attempt, where there is one. */
  readonly pauseMs: number | null;
}

export interface LeaseRequest {
  readonly limit: number;
  readonly perHost: number;
  /** Attempts of this process that are under way, by host. */
  readonly busy: ReadonlyMap<string, number>;
}

/** Longer than an attempt can take, so that the lease of a living deliverer does not end under it. */
const LEASE = "interval '30 seconds'";
/** Due rows that are looked at to fill one batch. */
const WINDOW = 500;

/** What a row tells of; what it is not of is null. */
const SUBJECT = 'coalesce(d.virtual_machine_id, -d.volume_id)';

const HOST = `coalesce(lower(substring(d.url from '^[^:]+://([^/?#]+)')), '')`;

/** Reads pending rows only, however long the log of a VM has grown: nothing but the partial index when idle. */
const LEASE_BATCH = `
  WITH busy AS (SELECT * FROM unnest($3::text[], $4::int[]) AS b (host, under_way)),
  untried AS MATERIALIZED (
    SELECT DISTINCT ON (subject) ${SUBJECT} AS subject, d.created_at, d.id
      FROM callback_delivery d WHERE d.state = 'pending' AND d.attempts = 0
     ORDER BY subject, d.created_at, d.id),
  due AS MATERIALIZED (
    SELECT d.id, d.available_at, d.created_at, ${HOST} AS host
      FROM callback_delivery d LEFT JOIN untried ON untried.subject = ${SUBJECT}
     WHERE d.state = 'pending' AND d.available_at <= now()
       AND ${HOST} NOT IN (SELECT host FROM busy WHERE under_way >= $2)
       AND (untried.id IS NULL OR (d.created_at, d.id) <= (untried.created_at, untried.id))
     ORDER BY d.available_at LIMIT ${WINDOW}),
  ranked AS (
    SELECT due.id, due.available_at, due.created_at, coalesce(busy.under_way, 0) +
           row_number() OVER (PARTITION BY due.host ORDER BY due.available_at, due.created_at) AS place
      FROM due LEFT JOIN busy USING (host)),
  chosen AS (
    SELECT d.id FROM callback_delivery d
     WHERE d.id = ANY (ARRAY(SELECT id FROM ranked WHERE place <= $2 ORDER BY available_at, created_at LIMIT $1))
       AND d.state = 'pending' AND d.available_at <= now()
       FOR UPDATE SKIP LOCKED)
  UPDATE callback_delivery d SET available_at = clock_timestamp() + ${LEASE}
   WHERE d.id = ANY (ARRAY(SELECT id FROM chosen))
  RETURNING d.id, d.organization_id AS "organizationId", d.url, d.body, d.attempts, ${HOST} AS host,
            d.available_at::text AS "leaseEnd",
            ARRAY(SELECT s.secret FROM signing_secret s
                   WHERE s.organization_id = d.organization_id AND (s.expires_at IS NULL OR s.expires_at > now())
                   ORDER BY s.id DESC) AS secrets`;

const RECORD_BATCH = `
  UPDATE callback_delivery d
     SET state = r.state, attempts = d.attempts + 1, response_status = r.response_status, last_error = r.error,
         available_at = CASE WHEN r.state = 'pending' THEN now() + r.pause_ms * interval '1 millisecond'
                             ELSE d.available_at END,
         finished_at = CASE WHEN r.state = 'pending' THEN NULL ELSE now() END
    FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::int[], $5::text[], $6::float8[])
         AS r (id, lease_end, state, response_status, error, pause_ms)
   WHERE d.id = r.id AND d.state = 'pending' AND (r.state = 'delivered' OR d.available_at = r.lease_end)`;

@Injectable()
export class DeliveryQueue {
  constructor(private readonly dataSource: DataSource) {}

  async lease({ limit, perHost, busy }: LeaseRequest): Promise<LeasedDelivery[]> {
    const [rows] = await this.dataSource.query<[LeasedDelivery[], number]>(LEASE_BATCH, [
      limit,
      perHost,
      [...busy.keys()],
      [...busy.values()],
    ]);
    return rows;
  }

  async record(attempts: readonly AttemptRecord[]): Promise<void> {
    await this.dataSource.query(RECORD_BATCH, [
      attempts.map(({ id }) => id),
      attempts.map(({ leaseEnd }) => leaseEnd),
      attempts.map(({ state }) => state),
      attempts.map(({ responseStatus }) => responseStatus),
      attempts.map(({ error }) => error),
      attempts.map(({ pauseMs }) => pauseMs),
    ]);
  }
}
