/** What VMs use: by the minute, by five, by the hour. */
import type { MigrationInterface, QueryRunner } from 'typeorm';

const STATEMENTS = [
  `CREATE TABLE "vm_metric" (
    "virtual_machine_id" integer NOT NULL,
    "granularity" integer NOT NULL,
    "at" TIMESTAMP WITH TIME ZONE NOT NULL,
    "cpu_ns" bigint NOT NULL,
    "memory_mib" integer NOT NULL,
    "disk_read_bytes" bigint NOT NULL,
    "disk_write_bytes" bigint NOT NULL,
    "network_in_bytes" bigint NOT NULL,
    "network_out_bytes" bigint NOT NULL,
    CONSTRAINT "pk_vm_metric" PRIMARY KEY ("virtual_machine_id", "granularity", "at"),
    CONSTRAINT "fk_vm_metric_virtual_machine_id" FOREIGN KEY ("virtual_machine_id") REFERENCES "virtual_machine"("id")
  )`,
  `CREATE INDEX "idx_vm_metric_granularity_at" ON "vm_metric" ("granularity", "at")`,
  `CREATE TABLE "metric_rollup" (
    "granularity" integer NOT NULL,
    "done_until" TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT "pk_metric_rollup" PRIMARY KEY ("granularity")
  )`,
  `INSERT INTO "metric_rollup" ("granularity", "done_until")
   SELECT g, date_bin(make_interval(secs => g), now(), timestamptz '2000-01-01 00:00:00Z') FROM (VALUES (300), (3600)) AS v(g)`,
  `CREATE TABLE "sample_batch_seen" (
    "compute_node_id" integer NOT NULL,
    "session" integer NOT NULL,
    "batch" integer NOT NULL,
    CONSTRAINT "pk_sample_batch_seen" PRIMARY KEY ("compute_node_id"),
    CONSTRAINT "fk_sample_batch_seen_compute_node_id" FOREIGN KEY ("compute_node_id") REFERENCES "compute_node"("id") ON DELETE CASCADE
  )`,
];

export class Metrics1764640000001 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    for (const statement of STATEMENTS) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE "sample_batch_seen", "metric_rollup", "vm_metric"');
  }
}
