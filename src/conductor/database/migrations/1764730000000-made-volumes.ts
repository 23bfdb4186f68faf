/** Volumes that began empty are remembered as made once they were with a VM, as those made of an image were before. */
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class MadeVolumes1764730000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(
      `UPDATE "volume" v SET "prepared_at" = a."created_at" FROM "volume_attachment" a
        WHERE a."volume_id" = v."id" AND a."status" = 'ATTACHED' AND v."prepared_at" IS NULL`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('UPDATE "volume" SET "prepared_at" = NULL WHERE "image_id" IS NULL');
  }
}
