/**
 * Brings a database to the newest schema, and checks that migrations and entities agree. Conductors that start at
 * the same time do not collide: an advisory lock lets one of them migrate while the others wait.
 */
import type { DataSource } from 'typeorm';

/** Any fixed number; it names the lock. */
const MIGRATION_LOCK = 7_237_411;

/** @returns the names of the migrations that ran. */
export async function migrate(dataSource: DataSource): Promise<string[]> {
  const runner = dataSource.createQueryRunner();
  try {
    await runner.query('SELECT pg_advisory_lock($1)', [MIGRATION_LOCK]);
    const ran = await dataSource.runMigrations({ transaction: 'all' });
    return ran.map((migration) => migration.name);
  } finally {
    await runner.query('SELECT pg_advisory_unlock($1)', [MIGRATION_LOCK]).catch(() => undefined);
    await runner.release();
  }
}

/** @returns the statements that would make the database what the entities say; none when they agree. */
export async function schemaDifferences(dataSource: DataSource): Promise<string[]> {
  const sql = await dataSource.driver.createSchemaBuilder().log();
  return sql.upQueries.map(({ query }) => query);
}
