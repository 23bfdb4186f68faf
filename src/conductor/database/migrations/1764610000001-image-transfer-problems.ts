/** What went wrong with the last attempt to download an image, while it is tried again. */
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class ImageTransferProblems1764610000001 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE "image_transfer" ADD "last_problem" text');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE "image_transfer" DROP COLUMN "last_problem"');
  }
}
