/** Reads the audit of one organization, the latest first. */
import type { DataSource } from 'typeorm';
import type { OrganizationId } from '../../protocol/ids.js';
import type { Page } from '../http/envelope.js';
import type { AuditRow } from './audit.responses.js';

export interface AuditFilter {
  readonly since?: Date;
  readonly until?: Date;
  readonly userId?: number;
  readonly resource?: string;
  readonly resourceId?: number;
  readonly requestId?: string;
}

const MATCHING = `
  a.organization_id = $1 AND ($2::timestamptz IS NULL OR a.time >= $2) AND ($3::timestamptz IS NULL OR a.time < $3)
  AND ($4::int IS NULL OR a.user_id = $4) AND ($5::text IS NULL OR a.resource = $5)
  AND ($6::int IS NULL OR $6 = ANY(a.resource_ids)) AND ($7::text IS NULL OR a.request_id = $7)`;

export async function readAudit(
  dataSource: DataSource,
  organizationId: OrganizationId,
  filter: AuditFilter,
  { page, pageSize }: Page,
): Promise<{ rows: AuditRow[]; count: number }> {
  const { since, until, userId, resource, resourceId, requestId } = filter;
  const parameters = [organizationId, since, until, userId, resource, resourceId, requestId].map((value) => value ?? null);
  const rows = await dataSource.query<AuditRow[]>(
    `SELECT a.id, a.time, a.user_id, u.email AS user, a.api_key_id, a.request_id, a.address, a.method, a.path, a.resource, a.resource_ids
       FROM audit_entry a LEFT JOIN user_account u ON u.id = a.user_id
      WHERE ${MATCHING} ORDER BY a.id DESC LIMIT $8 OFFSET $9`,
    [...parameters, pageSize, (page - 1) * pageSize],
  );
  const [{ count }] = await dataSource.query<[{ count: number }]>(
    `SELECT count(*)::int AS count FROM audit_entry a WHERE ${MATCHING}`,
    parameters,
  );
  return { rows, count };
}
