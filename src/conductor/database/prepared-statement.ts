/**
 * A statement on a hot path: parsed and planned once for each connection instead of with every call, which is most of
 * what a statement with many common table expressions costs. TypeORM has no word for it, so it goes to `pg` directly,
 * on the transaction's own connection where there is one.
 */
import type { Pool, PoolClient, QueryResult } from 'pg';
import { DataSource, EntityManager, QueryFailedError } from 'typeorm';

export class PreparedStatement<Row extends object = never> {
  /** @param name unique in the program; PostgreSQL tells a connection's statements apart by it. */
  constructor(
    private readonly name: string,
    private readonly text: string,
  ) {}

  /** @throws QueryFailedError, as TypeORM's own queries do. */
  async run(on: DataSource | EntityManager, values: unknown[]): Promise<Row[]> {
    const connection = await connectionOf(on);
    try {
      const result = (await connection.query({ name: this.name, text: this.text, values })) as QueryResult<Row>;
      return result.rows;
    } catch (error) {
      throw new QueryFailedError(this.name, [], error as Error);
    }
  }
}

async function connectionOf(on: DataSource | EntityManager): Promise<Pool | PoolClient> {
  if (on instanceof EntityManager && on.queryRunner !== undefined)
    return (await on.queryRunner.connect()) as PoolClient;
  const { driver } = on instanceof DataSource ? on : on.dataSource;
  return (driver as unknown as { master: Pool }).master;
}
