/** Quotas of snapshots: how many an organization has, and what they claim on the nodes that have them. */
import type { MigrationInterface, QueryRunner } from 'typeorm';

const SNAPSHOT_SUMS = `
  SELECT s.organization_id, count(*)::int AS snapshots, sum(s.claimed_gib)::int AS gib
    FROM snapshot s WHERE s.deleted_at IS NULL GROUP BY s.organization_id`;

/** What one snapshot counts. One that is deleted claims nothing. */
const living = (row: string): string => `(${row}.deleted_at IS NULL)::int`;

const STATEMENTS = [
  `ALTER TABLE "organization_quota"
    ADD COLUMN "snapshots_max" integer,
    ADD COLUMN "snapshot_gib_max" integer,
    ADD COLUMN "snapshots_used" integer NOT NULL DEFAULT '0',
    ADD COLUMN "snapshot_gib_used" integer NOT NULL DEFAULT '0',
    ADD CONSTRAINT "ck_organization_quota_snapshots_max" CHECK ("snapshots_max" >= 0 AND "snapshot_gib_max" >= 0),
    ADD CONSTRAINT "ck_organization_quota_snapshots_used" CHECK ("snapshots_used" >= 0 AND "snapshot_gib_used" >= 0)`,
  `UPDATE "organization_quota" q SET snapshots_used = s.snapshots, snapshot_gib_used = s.gib
    FROM (${SNAPSHOT_SUMS}) s WHERE s.organization_id = q.organization_id`,
  // Beside charge_organization and charge_organization_for_storage: the same row, the same SQLSTATE, the same words.
  `CREATE FUNCTION "charge_organization_for_snapshots"(organization int, snapshots int, snapshot_gib int)
    RETURNS void LANGUAGE plpgsql AS $$
    DECLARE exceeded jsonb;
    BEGIN
      UPDATE organization_quota q
         SET snapshots_used = q.snapshots_used + snapshots, snapshot_gib_used = q.snapshot_gib_used + snapshot_gib
       WHERE q.organization_id = organization
      RETURNING (SELECT jsonb_agg(l) FROM (VALUES
                  ('snapshots', q.snapshots_max, q.snapshots_used - snapshots, snapshots),
                  ('snapshot_gib', q.snapshot_gib_max, q.snapshot_gib_used - snapshot_gib, snapshot_gib)) AS l(kind, max, used, asked)
                 WHERE l.asked > 0 AND l.used + l.asked > l.max)
        INTO exceeded;
      IF exceeded IS NOT NULL THEN
        RAISE EXCEPTION 'quota of organization % exceeded', organization USING ERRCODE = 'BT002', DETAIL = exceeded::text;
      END IF;
    END $$`,
  `CREATE FUNCTION "count_new_snapshots"() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM charge_organization_for_snapshots(s.organization_id, s.snapshots, s.gib) FROM (
        SELECT n.organization_id, sum(${living('n')})::int AS snapshots, sum(n.claimed_gib)::int AS gib
          FROM new_row n GROUP BY n.organization_id ORDER BY n.organization_id) s;
      RETURN NULL;
    END $$`,
  `CREATE FUNCTION "count_changed_snapshots"() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM charge_organization_for_snapshots(s.organization_id, s.snapshots, s.gib) FROM (
        SELECT n.organization_id, sum(${living('n')} - ${living('o')})::int AS snapshots, sum(n.claimed_gib - o.claimed_gib)::int AS gib
          FROM new_row n JOIN old_row o ON o.id = n.id
         WHERE (${living('n')}, n.claimed_gib) IS DISTINCT FROM (${living('o')}, o.claimed_gib)
         GROUP BY n.organization_id ORDER BY n.organization_id) s;
      RETURN NULL;
    END $$`,
  `CREATE TRIGGER "count_new_snapshots" AFTER INSERT ON "snapshot"
    REFERENCING NEW TABLE AS new_row FOR EACH STATEMENT EXECUTE FUNCTION "count_new_snapshots"()`,
  `CREATE TRIGGER "count_changed_snapshots" AFTER UPDATE ON "snapshot"
    REFERENCING OLD TABLE AS old_row NEW TABLE AS new_row FOR EACH STATEMENT EXECUTE FUNCTION "count_changed_snapshots"()`,
];

const UNDO = [
  'DROP TRIGGER "count_changed_snapshots" ON "snapshot"',
  'DROP TRIGGER "count_new_snapshots" ON "snapshot"',
  'DROP FUNCTION "count_changed_snapshots"',
  'DROP FUNCTION "count_new_snapshots"',
  'DROP FUNCTION "charge_organization_for_snapshots"',
  `ALTER TABLE "organization_quota"
    DROP CONSTRAINT "ck_organization_quota_snapshots_max", DROP CONSTRAINT "ck_organization_quota_snapshots_used",
    DROP COLUMN "snapshots_max", DROP COLUMN "snapshot_gib_max", DROP COLUMN "snapshots_used", DROP COLUMN "snapshot_gib_used"`,
];

export class SnapshotQuotas1764700000001 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    for (const statement of STATEMENTS) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const statement of UNDO) await runner.query(statement);
  }
}
