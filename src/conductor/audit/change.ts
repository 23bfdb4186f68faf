/**
 * A change that a user asked for: a transaction that ends with its row in the audit. Either both are there or neither.
 *
 * Every service that a user's request can change something through uses these instead of the data source's own
 * `transaction` and `query`; `test/audit.test.ts` calls every such endpoint and misses the row of one that does not.
 * Creation of VMs, which is one statement, inserts the row by itself (`vm-insertion.ts`).
 */
import type { DataSource, EntityManager } from 'typeorm';
import { PreparedStatement } from '../database/prepared-statement.js';
import type { KeyHolder, Principal } from '../identity/principal.js';
import { resourceOf } from './origin.js';

/** Says which things were made or changed, where the path does not. */
export type Concerns = (...ids: number[]) => void;

const COLUMNS = 'organization_id, user_id, api_key_id, request_id, address, method, path, resource, resource_ids';

/** From a parameter that holds `auditRow`s as JSON. */
export const insertAuditRows = (parameter: string): string => `
  INSERT INTO audit_entry (${COLUMNS})
  SELECT ${COLUMNS} FROM json_to_recordset(${parameter}) AS a(organization_id int, user_id int, api_key_id int, request_id text,
    address text, method text, path text, resource text, resource_ids int[])`;

const INSERT = new PreparedStatement('insert audit entry', insertAuditRows('$1'));

/** @param resource what the ids are of, where the path is about something else. */
export function auditRow(principal: Principal & Partial<Pick<KeyHolder, 'apiKeyId'>>, ids: readonly number[], resource?: string): object {
  const { origin } = principal;
  return {
    organization_id: principal.organizationId,
    user_id: principal.userId,
    api_key_id: principal.apiKeyId ?? null,
    request_id: origin?.requestId ?? null,
    address: origin?.address ?? null,
    method: origin?.method ?? null,
    path: origin?.path ?? null,
    resource: resource ?? (origin === undefined ? null : resourceOf(origin.endpoint)),
    resource_ids: ids.length > 0 ? ids : [origin?.resourceId ?? []].flat(),
  };
}

/** For a change whose transaction is somebody else's. */
export const writeAudit = async (transaction: EntityManager, principal: Principal, ids: readonly number[], resource?: string): Promise<void> =>
  void (await INSERT.run(transaction, [JSON.stringify([auditRow(principal, ids, resource)])]));

export async function change<Result>(
  dataSource: DataSource,
  principal: Principal,
  work: (transaction: EntityManager, concerns: Concerns) => Promise<Result>,
): Promise<Result> {
  return await dataSource.transaction(async (transaction) => {
    const ids = new Set<number>();
    const result = await work(transaction, (...more) => more.forEach((id) => ids.add(id)));
    await writeAudit(transaction, principal, [...ids]);
    return result;
  });
}

/** A change by one statement, which returns rows of what it changed. Without rows nothing was changed, and nothing is written. */
export async function changeRows<Row extends object>(
  dataSource: DataSource,
  principal: Principal,
  statement: string,
  parameters: unknown[],
): Promise<Row[]> {
  return await dataSource.transaction(async (transaction) => {
    const rows = await transaction.query<Row[]>(statement, parameters);
    if (rows.length === 0) return rows;
    const ids = rows.flatMap((row) => ('id' in row && typeof row.id === 'number' ? [row.id] : []));
    await writeAudit(transaction, principal, ids);
    return rows;
  });
}
