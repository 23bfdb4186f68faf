/**
 * Volumes that are made from an image, boot virtual machines and tell of their changes by webhook; flavors made to
 * measure; quotas of volumes and floating IPs.
 */
import type { MigrationInterface, QueryRunner } from 'typeorm';

const STORAGE_SUMS = `
  SELECT o.id AS organization_id,
         (SELECT count(*)::int FROM volume v WHERE v.organization_id = o.id AND v.deleted_at IS NULL) AS volumes,
         (SELECT coalesce(sum(v.size_gib), 0)::int FROM volume v WHERE v.organization_id = o.id AND v.deleted_at IS NULL) AS volume_gib,
         (SELECT count(*)::int FROM floating_ip f JOIN virtual_machine vm ON vm.id = f.virtual_machine_id
           WHERE vm.organization_id = o.id) AS floating_ips
    FROM organization o`;

/** What one volume counts, by the names of its row. */
const counted = (row: string): string =>
  `CROSS JOIN LATERAL (SELECT (${row}.deleted_at IS NULL)::int AS volumes, (${row}.deleted_at IS NULL)::int * ${row}.size_gib AS gib) ${row}_counted`;

const STATEMENTS = [
  `ALTER TABLE "volume"
    ADD COLUMN "callback_url" text,
    ADD COLUMN "image_id" integer,
    ADD COLUMN "prepared_at" TIMESTAMP WITH TIME ZONE,
    ADD COLUMN "fault" text,
    ADD CONSTRAINT "fk_volume_image_id" FOREIGN KEY ("image_id") REFERENCES "image"("id"),
    ADD CONSTRAINT "ck_volume_image_has_place" CHECK ("image_id" IS NULL OR "compute_node_id" IS NOT NULL)`,
  `CREATE INDEX "idx_volume_preparation" ON "volume" ("compute_node_id")
    WHERE "image_id" IS NOT NULL AND "prepared_at" IS NULL AND "fault" IS NULL AND "removal_requested_at" IS NULL`,
  `ALTER TABLE "volume_attachment" ADD COLUMN "root" boolean NOT NULL DEFAULT false`,
  `CREATE UNIQUE INDEX "uq_volume_attachment_root" ON "volume_attachment" ("virtual_machine_id") WHERE "root" AND "status" <> 'DETACHED'`,

  `ALTER TABLE "callback_delivery" ALTER COLUMN "virtual_machine_id" DROP NOT NULL`,
  `ALTER TABLE "callback_delivery"
    ADD COLUMN "volume_id" integer,
    ADD CONSTRAINT "fk_callback_delivery_volume_id" FOREIGN KEY ("volume_id") REFERENCES "volume"("id")`,
  `CREATE INDEX "idx_callback_delivery_volume" ON "callback_delivery" ("volume_id") WHERE "volume_id" IS NOT NULL`,

  `ALTER TABLE "flavor" ADD COLUMN "custom" boolean NOT NULL DEFAULT false`,

  `ALTER TABLE "organization_quota"
    ADD COLUMN "volumes_max" integer,
    ADD COLUMN "volume_gib_max" integer,
    ADD COLUMN "floating_ips_max" integer,
    ADD COLUMN "volumes_used" integer NOT NULL DEFAULT '0',
    ADD COLUMN "volume_gib_used" integer NOT NULL DEFAULT '0',
    ADD COLUMN "floating_ips_used" integer NOT NULL DEFAULT '0',
    ADD CONSTRAINT "ck_organization_quota_storage_max" CHECK ("volumes_max" >= 0 AND "volume_gib_max" >= 0 AND "floating_ips_max" >= 0),
    ADD CONSTRAINT "ck_organization_quota_storage_used" CHECK ("volumes_used" >= 0 AND "volume_gib_used" >= 0 AND "floating_ips_used" >= 0)`,
  `UPDATE "organization_quota" q SET volumes_used = s.volumes, volume_gib_used = s.volume_gib, floating_ips_used = s.floating_ips
    FROM (${STORAGE_SUMS}) s WHERE s.organization_id = q.organization_id`,
  // Beside charge_organization, which counts what VMs claim: the same row, the same SQLSTATE, the same words.
  `CREATE FUNCTION "charge_organization_for_storage"(organization int, volumes int, volume_gib int, floating_ips int)
    RETURNS void LANGUAGE plpgsql AS $$
    DECLARE exceeded jsonb;
    BEGIN
      UPDATE organization_quota q
         SET volumes_used = q.volumes_used + volumes, volume_gib_used = q.volume_gib_used + volume_gib,
             floating_ips_used = q.floating_ips_used + floating_ips
       WHERE q.organization_id = organization
      RETURNING (SELECT jsonb_agg(l) FROM (VALUES
                  ('volumes', q.volumes_max, q.volumes_used - volumes, volumes),
                  ('volume_gib', q.volume_gib_max, q.volume_gib_used - volume_gib, volume_gib),
                  ('floating_ips', q.floating_ips_max, q.floating_ips_used - floating_ips, floating_ips)) AS l(kind, max, used, asked)
                 WHERE l.asked > 0 AND l.used + l.asked > l.max)
        INTO exceeded;
      IF exceeded IS NOT NULL THEN
        RAISE EXCEPTION 'quota of organization % exceeded', organization USING ERRCODE = 'BT002', DETAIL = exceeded::text;
      END IF;
    END $$`,
  `CREATE FUNCTION "count_new_volumes"() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM charge_organization_for_storage(s.organization_id, s.volumes, s.gib, 0) FROM (
        SELECT n.organization_id, sum(n_counted.volumes)::int AS volumes, sum(n_counted.gib)::int AS gib
          FROM new_row n ${counted('n')} GROUP BY n.organization_id ORDER BY n.organization_id) s;
      RETURN NULL;
    END $$`,
  `CREATE FUNCTION "count_changed_volumes"() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM charge_organization_for_storage(s.organization_id, s.volumes, s.gib, 0) FROM (
        SELECT n.organization_id, sum(n_counted.volumes - o_counted.volumes)::int AS volumes, sum(n_counted.gib - o_counted.gib)::int AS gib
          FROM new_row n JOIN old_row o ON o.id = n.id ${counted('n')} ${counted('o')}
         WHERE (n_counted.volumes, n_counted.gib) IS DISTINCT FROM (o_counted.volumes, o_counted.gib)
         GROUP BY n.organization_id ORDER BY n.organization_id) s;
      RETURN NULL;
    END $$`,
  // Most statements that could release an address release none: nothing is joined for those.
  `CREATE FUNCTION "count_changed_floating_ips"() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF EXISTS (SELECT 1 FROM new_row) THEN
        PERFORM charge_organization_for_storage(s.organization_id, 0, 0, s.change) FROM (
          SELECT vm.organization_id, sum(c.change)::int AS change
            FROM (SELECT n.virtual_machine_id, 1 AS change FROM new_row n
                  UNION ALL SELECT o.virtual_machine_id, -1 FROM old_row o) c
            JOIN virtual_machine vm ON vm.id = c.virtual_machine_id
           GROUP BY vm.organization_id HAVING sum(c.change) <> 0 ORDER BY vm.organization_id) s;
      END IF;
      RETURN NULL;
    END $$`,
  `CREATE TRIGGER "count_new_volumes" AFTER INSERT ON "volume"
    REFERENCING NEW TABLE AS new_row FOR EACH STATEMENT EXECUTE FUNCTION "count_new_volumes"()`,
  `CREATE TRIGGER "count_changed_volumes" AFTER UPDATE ON "volume"
    REFERENCING OLD TABLE AS old_row NEW TABLE AS new_row FOR EACH STATEMENT EXECUTE FUNCTION "count_changed_volumes"()`,
  `CREATE TRIGGER "count_changed_floating_ips" AFTER UPDATE ON "floating_ip"
    REFERENCING OLD TABLE AS old_row NEW TABLE AS new_row FOR EACH STATEMENT EXECUTE FUNCTION "count_changed_floating_ips"()`,
];

const UNDO = [
  'DROP TRIGGER "count_changed_floating_ips" ON "floating_ip"',
  'DROP TRIGGER "count_changed_volumes" ON "volume"',
  'DROP TRIGGER "count_new_volumes" ON "volume"',
  'DROP FUNCTION "count_changed_floating_ips"',
  'DROP FUNCTION "count_changed_volumes"',
  'DROP FUNCTION "count_new_volumes"',
  'DROP FUNCTION "charge_organization_for_storage"',
  `ALTER TABLE "organization_quota"
    DROP CONSTRAINT "ck_organization_quota_storage_max", DROP CONSTRAINT "ck_organization_quota_storage_used",
    DROP COLUMN "volumes_max", DROP COLUMN "volume_gib_max", DROP COLUMN "floating_ips_max",
    DROP COLUMN "volumes_used", DROP COLUMN "volume_gib_used", DROP COLUMN "floating_ips_used"`,
  'ALTER TABLE "flavor" DROP COLUMN "custom"',
  'DELETE FROM "callback_delivery" WHERE "virtual_machine_id" IS NULL',
  'ALTER TABLE "callback_delivery" DROP COLUMN "volume_id", ALTER COLUMN "virtual_machine_id" SET NOT NULL',
  'ALTER TABLE "volume_attachment" DROP COLUMN "root"',
  'ALTER TABLE "volume" DROP COLUMN "callback_url", DROP COLUMN "image_id", DROP COLUMN "prepared_at", DROP COLUMN "fault"',
];

export class VolumesGrowBootAndTell1764630000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    for (const statement of STATEMENTS) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const statement of UNDO) await runner.query(statement);
  }
}
