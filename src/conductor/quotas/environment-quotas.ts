/**
 * What an owner allows an environment, of what its organization may have. A limit below what is there takes nothing
 * away; it only allows no more.
 *
 * An environment without a limit has no row and is not counted. The first limit counts what is there, under the lock of
 * the organization's row, which everything that is charged takes before it looks for the environment's: so nothing falls
 * between the counting and the row. With the last limit the row goes.
 */
import type { DataSource, EntityManager } from 'typeorm';
import type { EnvironmentId, OrganizationId } from '../../protocol/ids.js';
import { QUOTA_KIND_NAMES, type QuotaKind } from './quota-refusal.js';
import type { Limits, QuotaLine } from './set-quota.js';

/** What each environment `e` has, by the names of the kinds. */
export const ENVIRONMENT_SUMS = `
  SELECT e.id AS environment_id, c.*, v.*, f.*, s.*
    FROM environment e,
         LATERAL (SELECT count(*)::int AS vms,
                         coalesce(sum(i.vcpus) FILTER (WHERE NOT i.hibernated), 0)::int AS vcpus,
                         coalesce(sum(i.memory_mib) FILTER (WHERE NOT i.hibernated), 0)::int AS memory_mib,
                         coalesce(sum(i.disk_gib), 0)::int AS disk_gib,
                         coalesce(sum(i.gpu_count) FILTER (WHERE NOT i.hibernated), 0)::int AS gpus
                    FROM virtual_machine vm JOIN incarnation i ON i.virtual_machine_id = vm.id AND i.claimed
                   WHERE vm.environment_id = e.id AND vm.deleted_at IS NULL) c,
         LATERAL (SELECT count(*)::int AS volumes, coalesce(sum(size_gib), 0)::int AS volume_gib
                    FROM volume WHERE environment_id = e.id AND deleted_at IS NULL) v,
         LATERAL (SELECT count(*)::int AS floating_ips
                    FROM floating_ip ip JOIN virtual_machine vm ON vm.id = ip.virtual_machine_id WHERE vm.environment_id = e.id) f,
         LATERAL (SELECT count(*)::int AS snapshots, coalesce(sum(claimed_gib), 0)::int AS snapshot_gib
                    FROM snapshot
                   WHERE organization_id = e.organization_id AND environment_id = e.id AND deleted_at IS NULL) s`;

const NAMED = 'e.organization_id = $1 AND e.id = $2 AND e.deleted_at IS NULL';

type Row = Readonly<Record<string, number | null>>;

/** @returns undefined when the organization has no such environment. */
export async function environmentQuota(
  on: Pick<EntityManager, 'query'>,
  organizationId: OrganizationId,
  environmentId: number,
): Promise<QuotaLine[] | undefined> {
  const [row] = await on.query<Row[]>(
    `SELECT s.*, ${QUOTA_KIND_NAMES.map((kind) => `q.${kind}_max`).join(', ')}
       FROM (${ENVIRONMENT_SUMS} WHERE ${NAMED}) s LEFT JOIN environment_quota q USING (environment_id)`,
    [organizationId, environmentId],
  );
  return row && QUOTA_KIND_NAMES.map((kind) => ({ kind, used: row[kind]!, max: row[`${kind}_max`] ?? null }));
}

/** @returns the quota as it is then; undefined when the organization has no such environment. */
export async function setEnvironmentQuota(
  transaction: EntityManager,
  organizationId: OrganizationId,
  environmentId: number,
  limits: Limits,
): Promise<QuotaLine[] | undefined> {
  // Against its deletion at this very moment.
  const found = await transaction.query<{ id: EnvironmentId }[]>(`SELECT e.id FROM environment e WHERE ${NAMED} FOR KEY SHARE`, [
    organizationId,
    environmentId,
  ]);
  if (found.length === 0) return undefined;
  await transaction.query('SELECT FROM organization_quota WHERE organization_id = $1 FOR NO KEY UPDATE', [organizationId]);
  const named = QUOTA_KIND_NAMES.filter((kind) => limits[kind] !== undefined);
  if (named.length > 0) await write(transaction, environmentId, named, limits);
  return environmentQuota(transaction, organizationId, environmentId);
}

/** @returns undefined when there is no such environment. */
export async function setEnvironmentQuotaByName(
  dataSource: DataSource,
  organization: string,
  environment: string,
  limits: Limits,
): Promise<QuotaLine[] | undefined> {
  return await dataSource.transaction(async (transaction) => {
    const [found] = await transaction.query<{ id: EnvironmentId; organization_id: OrganizationId }[]>(
      `SELECT e.id, e.organization_id FROM environment e JOIN organization o ON o.id = e.organization_id
        WHERE o.name = $1 AND e.name = $2 AND e.deleted_at IS NULL`,
      [organization, environment],
    );
    return found && setEnvironmentQuota(transaction, found.organization_id, found.id, limits);
  });
}

async function write(transaction: EntityManager, environmentId: number, named: readonly QuotaKind[], limits: Limits): Promise<void> {
  const used = QUOTA_KIND_NAMES.map((kind) => `${kind}_used`).join(', ');
  const max = named.map((kind) => `${kind}_max`);
  await transaction.query(
    `INSERT INTO environment_quota (environment_id, ${used}, ${max.join(', ')})
     SELECT s.environment_id, ${QUOTA_KIND_NAMES.map((kind) => `s.${kind}`).join(', ')}, ${named.map((_, index) => `$${index + 2}::int`).join(', ')}
       FROM (${ENVIRONMENT_SUMS} WHERE e.id = $1) s
     ON CONFLICT (environment_id) DO UPDATE SET ${max.map((column) => `${column} = excluded.${column}`).join(', ')}`,
    [environmentId, ...named.map((kind) => limits[kind])],
  );
  await transaction.query(
    `DELETE FROM environment_quota WHERE environment_id = $1 AND num_nonnulls(${QUOTA_KIND_NAMES.map((kind) => `${kind}_max`).join(', ')}) = 0`,
    [environmentId],
  );
}
