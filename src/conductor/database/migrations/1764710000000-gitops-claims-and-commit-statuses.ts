/** What Git makes bears the claim that it was made under, and forges are told what became of commits. */
import type { MigrationInterface, QueryRunner } from 'typeorm';

const STATEMENTS = [
  `ALTER TABLE "git_repository"
    ADD "forge" text,
    ADD "commit_status" boolean NOT NULL DEFAULT true,
    ADD "commit_status_error" text,
    ADD CONSTRAINT "ck_git_repository_forge" CHECK ("forge" IN ('github', 'gitlab', 'gitea'))`,
  'ALTER TABLE "gitops_sync" ADD "told_state" text',
  'ALTER TABLE "gitops_ownership" ADD "claim" uuid',
  ...['environment', 'keypair', 'firewall', 'profile'].map((table) => `ALTER TABLE "${table}" ADD "gitops_claim" uuid`),
];

export class GitopsClaimsAndCommitStatuses1764710000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    for (const statement of STATEMENTS) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const table of ['profile', 'firewall', 'keypair', 'environment']) await runner.query(`ALTER TABLE "${table}" DROP COLUMN "gitops_claim"`);
    await runner.query('ALTER TABLE "gitops_ownership" DROP COLUMN "claim"');
    await runner.query('ALTER TABLE "gitops_sync" DROP COLUMN "told_state"');
    await runner.query('ALTER TABLE "git_repository" DROP CONSTRAINT "ck_git_repository_forge", DROP COLUMN "commit_status_error", DROP COLUMN "commit_status", DROP COLUMN "forge"');
  }
}
