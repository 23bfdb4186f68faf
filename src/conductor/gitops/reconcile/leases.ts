/**
 * Which repository is whose to work on: each is leased by one pass at a time, whichever conductor runs it. A pass that
 * dies gives its repository back when the lease ends; one that is late has lost it, and everything it writes from then
 * on is refused because it names the lease. Organizations take turns, each with few at a time.
 *
 * Owns `lease`, `lease_until`, `next_pass_at` and the taking of `requested`. What is requested while a pass runs makes
 * the next one follow at once: any number of requests are one pass.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { grantedTo, type Granted, type Grants, type MemberRole } from '../../access/granted.js';
import type { Forge } from '../git/commit-status.js';
import type { DriftPolicy, GitMode, SyncTrigger } from '../git-repository.entity.js';
import type { LeasedOwner } from '../state/ownership.js';

const LEASE = "interval '30 seconds'";

export interface LeasedRepository extends LeasedOwner {
  readonly name: string;
  readonly url: string | null;
  readonly ref: string;
  readonly path: string;
  readonly environments: readonly string[];
  readonly credentials: Buffer | null;
  /** Of its server, as they were seen at the first fetch. */
  readonly hostKeys: string | null;
  readonly pollSeconds: number;
  readonly prune: boolean;
  readonly pruneLimit: number;
  readonly mode: GitMode;
  readonly driftPolicy: DriftPolicy;
  readonly callbackUrl: string | null;
  readonly pinnedCommit: string | null;
  readonly fetchedCommit: string | null;
  readonly fetchedAt: Date | null;
  readonly fetchError: string | null;
  readonly drift: readonly string[] | null;
  readonly forge: Forge | null;
  readonly commitStatus: boolean;
  /** Why this pass was asked for; null when its time had come. */
  readonly requested: SyncTrigger | null;
  /** Null when the service account was removed from the organization. */
  readonly granted: Granted | null;
}

interface LeasedRow extends Omit<LeasedRepository, 'granted'> {
  readonly member: MemberRole | null;
  readonly role: Grants | null;
}

export const REPOSITORY_COLUMNS = `
  g.id, g.organization_id AS "organizationId", g.name, g.url, g.ref, g.path, g.environments, g.credentials, g.host_keys AS "hostKeys",
  g.poll_seconds AS "pollSeconds", g.prune, g.prune_limit AS "pruneLimit", g.mode, g.drift_policy AS "driftPolicy",
  g.callback_url AS "callbackUrl", g.user_id AS "userId", g.pinned_commit AS "pinnedCommit",
  g.fetched_commit AS "fetchedCommit", g.fetched_at AS "fetchedAt", g.fetch_error AS "fetchError", g.drift,
  g.forge, g.commit_status AS "commitStatus"`;

/** At the same time, by all conductors: Git servers that are slow, or a large change, keep no other organization waiting. */
const MOST_OF_AN_ORGANIZATION = 2;

const DUE = 'NOT g.paused AND g.next_pass_at <= now() AND (g.lease_until IS NULL OR g.lease_until < now())';

/** Of those that are due, organizations take turns. Two conductors that look at once may take one more than they should. */
const TAKE = `
  WITH under_way AS (
    SELECT organization_id, count(*) AS passes FROM git_repository WHERE lease_until > now() GROUP BY organization_id
  ), turns AS (
    SELECT g.id, coalesce(u.passes, 0) + row_number() OVER (PARTITION BY g.organization_id ORDER BY g.next_pass_at, g.id) AS turn
      FROM git_repository g LEFT JOIN under_way u USING (organization_id) WHERE ${DUE}
  ), due AS (
    SELECT g.id, g.requested FROM git_repository g JOIN turns t USING (id)
     WHERE t.turn <= ${MOST_OF_AN_ORGANIZATION} AND ${DUE}
     ORDER BY t.turn, g.next_pass_at LIMIT $1 FOR UPDATE OF g SKIP LOCKED
  ), taken AS (
    UPDATE git_repository g SET lease = gen_random_uuid(), lease_until = now() + ${LEASE}, requested = NULL
      FROM due WHERE g.id = due.id RETURNING g.*, due.requested AS asked
  )
  SELECT ${REPOSITORY_COLUMNS}, g.lease, g.asked AS requested, m.role AS member,
         CASE WHEN r.id IS NOT NULL THEN json_build_object('permissions', r.permissions, 'policies', r.policies) END AS role
    FROM taken g
    LEFT JOIN membership m ON m.organization_id = g.organization_id AND m.user_id = g.user_id
    LEFT JOIN role r ON r.id = m.role_id`;

@Injectable()
export class RepositoryLeases {
  constructor(private readonly dataSource: DataSource) {}

  async take(limit: number): Promise<LeasedRepository[]> {
    const rows = await this.dataSource.query<LeasedRow[]>(TAKE, [limit]);
    return rows.map(({ member, role, ...row }) => ({ ...row, granted: member === null ? null : grantedTo(member, role) }));
  }

  /** @returns false when the pass shall end: its lease was lost, or the repository was paused. */
  async renew({ id, lease }: LeasedOwner): Promise<boolean> {
    const [, renewed] = await this.dataSource.query<[unknown, number]>(
      `UPDATE git_repository SET lease_until = now() + ${LEASE} WHERE id = $1 AND lease = $2 AND NOT paused`,
      [id, lease],
    );
    return renewed > 0;
  }

  async giveBack({ id, lease }: LeasedOwner, nextPassInMs: number): Promise<void> {
    await this.dataSource.query(
      `UPDATE git_repository
          SET lease = NULL, lease_until = NULL,
              next_pass_at = CASE WHEN requested IS NULL THEN now() + $3 * interval '1 millisecond' ELSE now() END
        WHERE id = $1 AND lease = $2`,
      [id, lease, nextPassInMs],
    );
  }
}

