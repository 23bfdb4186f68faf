/**
 * Each environment has a subnet and each VM an address of it, assigned with the VM. What was there before gets both now:
 * a VM moves to its new network as by a change of its flavor, so that a running guest is started anew once. Its task
 * waits until the worker registers again, which is when it understands it.
 */
import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The pool's default: a migration has no configuration. */
const POOL = `'10.128.0.0/9', 20`;

const STATEMENTS = [
  'CREATE SEQUENCE "fixed_ip_seq" MINVALUE 0',
  `ALTER TABLE "environment" ADD "subnet" cidr`,
  // Serial by its lock: whoever waited for it sees what was committed meanwhile, because each statement looks anew.
  `CREATE FUNCTION "free_subnet"(pool cidr, prefix int) RETURNS cidr LANGUAGE plpgsql AS $$
    DECLARE chosen cidr;
    BEGIN
      PERFORM pg_advisory_xact_lock(hashtext('free_subnet'));
      SELECT c.subnet INTO chosen
        FROM (SELECT set_masklen(pool::inet + (n << (32 - prefix)), prefix)::cidr AS subnet
                FROM generate_series(0::bigint, (1::bigint << (prefix - masklen(pool))) - 1) n) c
       WHERE NOT EXISTS (SELECT FROM environment e WHERE e.subnet && c.subnet AND e.deleted_at IS NULL)
       ORDER BY c.subnet LIMIT 1;
      RETURN chosen;
    END $$`,
  `DO $$
    DECLARE environment_id int;
    BEGIN
      FOR environment_id IN SELECT id FROM environment WHERE deleted_at IS NULL ORDER BY id LOOP
        UPDATE environment SET subnet = free_subnet(${POOL}) WHERE id = environment_id;
      END LOOP;
    END $$`,
  `ALTER TABLE "environment"
    ADD CONSTRAINT "ck_environment_subnet" CHECK ("subnet" IS NOT NULL OR "deleted_at" IS NOT NULL),
    ADD CONSTRAINT "xcl_environment_subnet" EXCLUDE USING gist ("subnet" inet_ops WITH &&) WHERE ("deleted_at" IS NULL)`,
  `ALTER TABLE "virtual_machine" ADD "has_run" boolean NOT NULL DEFAULT false`,
  `UPDATE "virtual_machine" SET "has_run" = true WHERE "fixed_ip" IS NOT NULL`,
  `ALTER TABLE "virtual_machine" ALTER "fixed_ip" TYPE inet USING "fixed_ip"::inet`,
  `UPDATE "virtual_machine" vm SET "fixed_ip" = n.address
     FROM (SELECT v.id, set_masklen(e.subnet::inet, 32) + 1 + row_number() OVER (PARTITION BY e.id ORDER BY v.id) AS address
             FROM "virtual_machine" v JOIN "environment" e ON e.id = v.environment_id WHERE v.deleted_at IS NULL) n
    WHERE vm.id = n.id`,
  `ALTER TABLE "virtual_machine"
    ADD CONSTRAINT "ck_virtual_machine_fixed_ip" CHECK ("fixed_ip" IS NOT NULL OR "deleted_at" IS NOT NULL)`,
  `CREATE UNIQUE INDEX "uq_virtual_machine_fixed_ip" ON "virtual_machine" ("environment_id", "fixed_ip") WHERE "deleted_at" IS NULL`,
  `UPDATE "virtual_machine" vm
      SET "hardware" = vm.hardware || jsonb_build_object(
            'resizes', coalesce((vm.hardware->>'resizes')::int, 0) + 1,
            'network', jsonb_build_object(
              'address', host(vm.fixed_ip), 'subnet', e.subnet::text, 'gateway', host(e.subnet::inet + 1),
              'mac', '02:00:' || regexp_replace(lpad(to_hex(vm.fixed_ip - '0.0.0.0'::inet), 8, '0'), '(..)(..)(..)(..)', '\\1:\\2:\\3:\\4')))
     FROM "environment" e WHERE e.id = vm.environment_id AND vm.deleted_at IS NULL`,
  `WITH placed AS (
     UPDATE "virtual_machine" vm
        SET "operation" = CASE WHEN vm.observed_generation = vm.generation THEN 'update' ELSE vm.operation END,
            "generation" = vm.generation + 1
       FROM "incarnation" i
      WHERE i.virtual_machine_id = vm.id AND i.ended_at IS NULL AND vm.deleted_at IS NULL
     RETURNING vm.id, vm.generation, i.id AS incarnation_id, i.compute_node_id)
   INSERT INTO "task" ("id", "compute_node_id", "virtual_machine_id", "incarnation_id", "generation", "state", "deadline_at")
   SELECT gen_random_uuid(), compute_node_id, id, incarnation_id, generation, 'published', now() + interval '1 day' FROM placed`,
];

const UNDO = [
  `UPDATE "virtual_machine" SET "hardware" = "hardware" - 'network'`,
  'DROP INDEX "uq_virtual_machine_fixed_ip"',
  'ALTER TABLE "virtual_machine" DROP CONSTRAINT "ck_virtual_machine_fixed_ip"',
  'UPDATE "virtual_machine" SET "fixed_ip" = NULL WHERE NOT "has_run"',
  'ALTER TABLE "virtual_machine" ALTER "fixed_ip" TYPE text USING host("fixed_ip"), DROP COLUMN "has_run"',
  'ALTER TABLE "environment" DROP COLUMN "subnet"',
  'DROP FUNCTION "free_subnet"',
  'DROP SEQUENCE "fixed_ip_seq"',
];

export class EnvironmentSubnets1764620000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    for (const statement of STATEMENTS) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const statement of UNDO) await runner.query(statement);
  }
}
