import type { MigrationInterface, QueryRunner } from 'typeorm';

/** VMs of lost nodes are started elsewhere where their flavor or organization wants it. */
export class LostNodes1764660000002 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE "compute_node" ADD "fence_seconds" double precision');
    await runner.query(`ALTER TABLE "compute_node" ADD "lease_seconds" double precision NOT NULL DEFAULT '15'`);
    await runner.query('ALTER TABLE "incarnation" ADD "left_behind" boolean NOT NULL DEFAULT false');
    await runner.query('ALTER TABLE "incarnation" ADD "stranded_at" TIMESTAMP WITH TIME ZONE');
    await runner.query('CREATE INDEX "idx_incarnation_left_behind" ON "incarnation" ("compute_node_id") WHERE "left_behind"');
    await runner.query('ALTER TABLE "flavor" ADD "auto_recover" boolean NOT NULL DEFAULT false');
    await runner.query('ALTER TABLE "organization" ADD "auto_recover" boolean NOT NULL DEFAULT false');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE "organization" DROP COLUMN "auto_recover"');
    await runner.query('ALTER TABLE "flavor" DROP COLUMN "auto_recover"');
    await runner.query('DROP INDEX "idx_incarnation_left_behind"');
    await runner.query('ALTER TABLE "incarnation" DROP COLUMN "stranded_at"');
    await runner.query('ALTER TABLE "incarnation" DROP COLUMN "left_behind"');
    await runner.query('ALTER TABLE "compute_node" DROP COLUMN "lease_seconds"');
    await runner.query('ALTER TABLE "compute_node" DROP COLUMN "fence_seconds"');
  }
}
