import type { MigrationInterface, QueryRunner } from 'typeorm';

/** A hibernated VM claims its disk alone, and may have given its floating IP back. */
export class Hibernation1764300000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE "incarnation" ADD "hibernated" boolean NOT NULL DEFAULT false');
    await runner.query('ALTER TABLE "virtual_machine" ADD "awaits_floating_ip" boolean NOT NULL DEFAULT false');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE "virtual_machine" DROP COLUMN "awaits_floating_ip"');
    await runner.query('ALTER TABLE "incarnation" DROP COLUMN "hibernated"');
  }
}
