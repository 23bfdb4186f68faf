/** Images that organizations bring themselves: how far they are, and how their files come to the cloud. */
import type { MigrationInterface, QueryRunner } from 'typeorm';

const STATEMENTS = [
  `ALTER TABLE "image"
    ADD "status" text NOT NULL DEFAULT 'available',
    ADD "problem" text,
    ADD "min_disk_gib" integer NOT NULL DEFAULT '0',
    ALTER "files" DROP NOT NULL,
    ADD CONSTRAINT "ck_image_status" CHECK ("status" IN ('awaiting-upload', 'queued', 'downloading', 'available', 'error')),
    ADD CONSTRAINT "ck_image_files" CHECK ("status" <> 'available' OR "files" IS NOT NULL),
    ADD CONSTRAINT "ck_image_problem" CHECK (("status" = 'error') = ("problem" IS NOT NULL))`,
  `CREATE INDEX "idx_image_in_transfer" ON "image" ("region_id")
    WHERE "status" IN ('awaiting-upload', 'queued', 'downloading') AND "deleted_at" IS NULL`,
  `CREATE TABLE "image_transfer" (
    "image_id" integer NOT NULL,
    "source" text NOT NULL,
    "url" text,
    "format" text NOT NULL,
    "checksum_algorithm" text,
    "checksum" text,
    "deadline_at" TIMESTAMP WITH TIME ZONE NOT NULL,
    "compute_node_id" integer,
    "lease_until" TIMESTAMP WITH TIME ZONE,
    "attempt" integer NOT NULL DEFAULT '0',
    "retry_at" TIMESTAMP WITH TIME ZONE,
    "bytes_done" bigint NOT NULL DEFAULT '0',
    "bytes_total" bigint,
    CONSTRAINT "ck_image_transfer_source" CHECK (("source" = 'url') = ("url" IS NOT NULL)),
    CONSTRAINT "ck_image_transfer_checksum" CHECK (("checksum_algorithm" IS NULL) = ("checksum" IS NULL)),
    CONSTRAINT "pk_image_transfer" PRIMARY KEY ("image_id"),
    CONSTRAINT "fk_image_transfer_image_id" FOREIGN KEY ("image_id") REFERENCES "image"("id") ON DELETE CASCADE,
    CONSTRAINT "fk_image_transfer_compute_node_id" FOREIGN KEY ("compute_node_id") REFERENCES "compute_node"("id")
  )`,
];

const UNDO = [
  'DROP TABLE "image_transfer"',
  'DROP INDEX "idx_image_in_transfer"',
  `DELETE FROM "image" WHERE "files" IS NULL`,
  `ALTER TABLE "image" DROP COLUMN "status", DROP COLUMN "problem", DROP COLUMN "min_disk_gib", ALTER "files" SET NOT NULL`,
];

export class ImagesOfOrganizations1764610000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    for (const statement of STATEMENTS) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const statement of UNDO) await runner.query(statement);
  }
}
