/**
 * Reads quotas, and lets owners limit environments. It does not enforce them: that is done by the database where claims
 * are made (`charge_organization`, `charge_environment`), because only there two requests for the last VM meet.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { OrganizationId } from '../../protocol/ids.js';
import { change } from '../audit/change.js';
import { badRequest, notFound } from '../http/api-error.js';
import type { Principal } from '../identity/principal.js';
import { environmentQuota, setEnvironmentQuota } from './environment-quotas.js';
import { VmQuota } from './quota.responses.js';
import { QUOTA_KIND_NAMES, quotaExceeded, type Excess, type QuotaKind } from './quota-refusal.js';
import type { Limits, QuotaLine } from './set-quota.js';

/** What is not named is not asked for. */
type Amounts = Readonly<Partial<Record<QuotaKind, number>>>;

interface VmLimit {
  readonly vms_max: number | null;
  readonly vms_used: number;
}

const ENVIRONMENT = 'The environment';

const AMOUNTS = QUOTA_KIND_NAMES.map((kind) => `('${kind}', q.${kind}_max, q.${kind}_used, ($3::json->>'${kind}')::int)`).join(', ');

@Injectable()
export class QuotasService {
  constructor(private readonly dataSource: DataSource) {}

  /** Of the limits of environment and organization, the one that leaves less. */
  async vmQuota(organizationId: OrganizationId, environmentId: number): Promise<VmQuota> {
    const [limit] = await this.dataSource.query<VmLimit[]>(
      `SELECT l.* FROM environment e
         JOIN organization_quota o ON o.organization_id = e.organization_id LEFT JOIN environment_quota q ON q.environment_id = e.id,
              LATERAL (VALUES (q.vms_max, q.vms_used), (o.vms_max, o.vms_used)) AS l(vms_max, vms_used)
        WHERE e.organization_id = $1 AND e.id = $2 AND e.deleted_at IS NULL AND l.vms_used IS NOT NULL
        ORDER BY l.vms_max - l.vms_used NULLS LAST, l.vms_used DESC LIMIT 1`,
      [organizationId, environmentId],
    );
    if (limit === undefined) throw notFound(ENVIRONMENT);
    return new VmQuota(limit.vms_max, limit.vms_used);
  }

  async ofEnvironment(organizationId: OrganizationId, environmentId: number): Promise<QuotaLine[]> {
    const quota = await environmentQuota(this.dataSource, organizationId, environmentId);
    if (quota === undefined) throw notFound(ENVIRONMENT);
    return quota;
  }

  async setOfEnvironment(principal: Principal, environmentId: number, limits: Limits): Promise<QuotaLine[]> {
    if (QUOTA_KIND_NAMES.every((kind) => limits[kind] === undefined))
      throw badRequest(`Name at least one limit: ${QUOTA_KIND_NAMES.join(', ')}.`);
    return await change(this.dataSource, principal, async (transaction) => {
      const quota = await setEnvironmentQuota(transaction, principal.organizationId, environmentId, limits);
      if (quota === undefined) throw notFound(ENVIRONMENT);
      return quota;
    });
  }

  /** For what only explains what would be. @throws ApiError 403 when it would go over. */
  async requireRoom(organizationId: OrganizationId, environment: { readonly id: number; readonly name: string }, asked: Amounts): Promise<void> {
    const excesses = await this.dataSource.query<(Excess & { readonly of: 'organization' | 'environment' })[]>(
      `SELECT * FROM (
         SELECT 'organization' AS of, l.* FROM organization_quota q, LATERAL (VALUES ${AMOUNTS}) AS l(kind, max, used, asked)
          WHERE q.organization_id = $1
         UNION ALL
         SELECT 'environment', l.* FROM environment_quota q, LATERAL (VALUES ${AMOUNTS}) AS l(kind, max, used, asked)
          WHERE q.environment_id = $2) l
        WHERE asked > 0 AND used + asked > max`,
      [organizationId, environment.id, JSON.stringify(asked)],
    );
    const ofOrganization = excesses.filter(({ of }) => of === 'organization');
    if (ofOrganization.length > 0) throw quotaExceeded(ofOrganization);
    if (excesses.length > 0) throw quotaExceeded(excesses, environment.name);
  }
}
