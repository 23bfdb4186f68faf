import type { MigrationInterface, QueryRunner } from 'typeorm';

/** A VM whose first start failed on one node is tried on another. */
export class AnotherNode1764660000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE "incarnation" ADD "attempt" integer NOT NULL DEFAULT \'1\'');
    await runner.query('ALTER TABLE "incarnation" ADD "failure" text');
    await runner.query(`CREATE INDEX "idx_virtual_machine_undone" ON "virtual_machine" ("id") WHERE "observed" = 'undone'`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX "idx_virtual_machine_undone"');
    await runner.query('ALTER TABLE "incarnation" DROP COLUMN "failure"');
    await runner.query('ALTER TABLE "incarnation" DROP COLUMN "attempt"');
  }
}
