import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Draining a node may stop its VMs, which are started again when it is over. */
export class Draining1764660000001 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE "compute_node" ADD "drain_stops" boolean NOT NULL DEFAULT false');
    await runner.query('ALTER TABLE "virtual_machine" ADD "stopped_by_drain" boolean NOT NULL DEFAULT false');
    await runner.query('CREATE INDEX "idx_virtual_machine_stopped_by_drain" ON "virtual_machine" ("id") WHERE "stopped_by_drain"');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX "idx_virtual_machine_stopped_by_drain"');
    await runner.query('ALTER TABLE "virtual_machine" DROP COLUMN "stopped_by_drain"');
    await runner.query('ALTER TABLE "compute_node" DROP COLUMN "drain_stops"');
  }
}
