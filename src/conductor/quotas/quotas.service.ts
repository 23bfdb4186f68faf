/**
 * Reads quotas, and lets the operator set them. It does not enforce them: that is done by the database where claims are
 * made (`charge_organization`), because only there two requests for the last VM meet.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { OrganizationId } from '../../protocol/ids.js';
import { notFound } from '../http/api-error.js';
import { VmQuota } from './quota.responses.js';
import { quotaExceeded, type Excess, type QuotaKind } from './quota-refusal.js';

/** What is not named is not asked for. */
type Amounts = Readonly<Partial<Record<QuotaKind, number>>>;

@Injectable()
export class QuotasService {
  constructor(private readonly dataSource: DataSource) {}

  /** Infrahub asks by environment; what is limited is the organization. */
  async vmQuota(organizationId: OrganizationId, environmentId: number): Promise<VmQuota> {
    const [row] = await this.dataSource.query<{ vms_max: number | null; vms_used: number }[]>(
      `SELECT q.vms_max, q.vms_used FROM environment e JOIN organization_quota q ON q.organization_id = e.organization_id
        WHERE e.organization_id = $1 AND e.id = $2 AND e.deleted_at IS NULL`,
      [organizationId, environmentId],
    );
    if (row === undefined) throw notFound('The environment');
    return new VmQuota(row.vms_max, row.vms_used);
  }

  /** For what only explains what would be. @throws ApiError 403 when it would go over. */
  async requireRoom(organizationId: OrganizationId, asked: Amounts): Promise<void> {
    const excesses = await this.dataSource.query<Excess[]>(
      `SELECT kind, max, used, ($2::json->>kind)::int AS asked
         FROM organization_quota q, LATERAL (VALUES
           ('vms', vms_max, vms_used), ('vcpus', vcpus_max, vcpus_used), ('memory_mib', memory_mib_max, memory_mib_used),
           ('disk_gib', disk_gib_max, disk_gib_used), ('gpus', gpus_max, gpus_used), ('volumes', volumes_max, volumes_used),
           ('volume_gib', volume_gib_max, volume_gib_used), ('floating_ips', floating_ips_max, floating_ips_used),
           ('snapshots', snapshots_max, snapshots_used), ('snapshot_gib', snapshot_gib_max, snapshot_gib_used)) AS l(kind, max, used)
        WHERE q.organization_id = $1 AND ($2::json->>kind)::int > 0 AND used + ($2::json->>kind)::int > max`,
      [organizationId, JSON.stringify(asked)],
    );
    if (excesses.length > 0) throw quotaExceeded(excesses);
  }
}
