/**
 * Owns environments. Every statement names the organization, so that another's environment is as good as missing.
 *
 * Races: two creations of one name are told apart by the unique index, their subnets by `free_subnet`. A deletion locks the row FOR UPDATE before it
 * counts the contents; whoever puts something into an environment must therefore select it, with `deleted_at IS NULL`,
 * FOR KEY SHARE or stronger in the same transaction, and will either be counted or find it gone.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { InjectConfig } from '../../config/config.module.js';
import type { Config } from '../../config/settings.js';
import { change, changeRows } from '../audit/change.js';
import type { OrganizationId } from '../../protocol/ids.js';
import { violatedUnique } from '../database/database-error.js';
import { alreadyExists, ApiError, badRequest, notFound } from '../http/api-error.js';
import type { Page } from '../http/envelope.js';
import { NameAvailability } from '../http/name-availability.js';
import { containing } from '../http/page-query.js';
import { poolExhausted, subnetPool } from '../networks/subnets.js';
import { misshapenEnvironmentName, refusedEnvironmentName } from './environment-name.js';
import { environmentFields, type EnvironmentFields, type EnvironmentRow } from './environment.responses.js';
import type { Principal } from '../identity/principal.js';

const COLUMNS = 'e.id, e.name, e.created_at, r.name AS region, r.green_status, e.subnet';

const LIVE = 'e.organization_id = $1 AND e.deleted_at IS NULL';

const MATCHING = `FROM environment e JOIN region r ON r.id = e.region_id
  WHERE ${LIVE} AND ($2::text IS NULL OR e.name ILIKE $2 OR r.name ILIKE $2 OR e.id::text = $3)`;

@Injectable()
export class EnvironmentsService {
  constructor(
    private readonly dataSource: DataSource,
    @InjectConfig() private readonly config: Config,
  ) {}

  async list(
    organizationId: OrganizationId,
    search: string | undefined,
    page: Page | undefined,
  ): Promise<{ environments: EnvironmentFields[]; count: number }> {
    const filter = [organizationId, search === undefined ? null : containing(search), search ?? null];
    const rows = await this.dataSource.query<EnvironmentRow[]>(
      `SELECT ${COLUMNS} ${MATCHING} ORDER BY e.id LIMIT $4 OFFSET $5`,
      [...filter, page?.pageSize ?? null, page === undefined ? 0 : (page.page - 1) * page.pageSize],
    );
    const count = page === undefined ? rows.length : await this.count(filter);
    return { environments: rows.map(environmentFields), count };
  }

  private async count(filter: unknown[]): Promise<number> {
    const [row] = await this.dataSource.query<[{ count: number }]>(`SELECT count(*)::int AS count ${MATCHING}`, filter);
    return row.count;
  }

  async get(organizationId: OrganizationId, id: number): Promise<EnvironmentFields> {
    const [row] = await this.dataSource.query<EnvironmentRow[]>(
      `SELECT ${COLUMNS} FROM environment e JOIN region r ON r.id = e.region_id WHERE ${LIVE} AND e.id = $2`,
      [organizationId, id],
    );
    if (row === undefined) throw notFound('The environment');
    return environmentFields(row);
  }

  /** @param claim that Git makes it under. */
  async create(principal: Principal, name: string, region: string, claim: string | null = null): Promise<EnvironmentFields> {
    const { organizationId } = principal;
    const [row] = await this.uniquelyNamed(name, () =>
      changeRows<EnvironmentRow>(
        this.dataSource,
        principal,
        `WITH e AS (
           INSERT INTO environment (organization_id, region_id, name, subnet, gitops_claim)
           SELECT $1::int, id, $2::text, free_subnet($4, $5), $6::uuid FROM region WHERE name = $3
           RETURNING *)
         SELECT ${COLUMNS} FROM e JOIN region r ON r.id = e.region_id`,
        [organizationId, name, region, ...subnetPool(this.config), claim],
      ),
    );
    if (row === undefined) throw new ApiError(404, `There is no region '${region}'. GET /v1/core/regions lists them.`);
    return environmentFields(row);
  }

  async rename(principal: Principal, id: number, name: string): Promise<EnvironmentFields> {
    const { organizationId } = principal;
    const [row] = await this.uniquelyNamed(name, () =>
      changeRows<EnvironmentRow>(
        this.dataSource,
        principal,
        `WITH e AS (UPDATE environment e SET name = $3 WHERE ${LIVE} AND e.id = $2 RETURNING *)
         SELECT ${COLUMNS} FROM e JOIN region r ON r.id = e.region_id`,
        [organizationId, id, name],
      ),
    );
    if (row === undefined) throw notFound('The environment');
    return environmentFields(row);
  }

  async delete(principal: Principal, id: number): Promise<void> {
    const { organizationId } = principal;
    await change(this.dataSource, principal, async (transaction) => {
      const [environment] = await transaction.query<{ name: string }[]>(
        `SELECT name FROM environment e WHERE ${LIVE} AND e.id = $2 FOR UPDATE`,
        [organizationId, id],
      );
      if (environment === undefined) throw notFound('The environment');
      const [contents] = await transaction.query<[{ virtual_machines: number; volumes: number; snapshots: number; firewalls: number; keypairs: number }]>(
        `SELECT (SELECT count(*)::int FROM virtual_machine WHERE environment_id = $1 AND deleted_at IS NULL) AS virtual_machines,
                (SELECT count(*)::int FROM volume WHERE environment_id = $1 AND deleted_at IS NULL AND removal_requested_at IS NULL) AS volumes,
                (SELECT count(*)::int FROM snapshot WHERE environment_id = $1 AND deleted_at IS NULL AND removal_requested_at IS NULL) AS snapshots,
                (SELECT count(*)::int FROM firewall WHERE environment_id = $1) AS firewalls,
                (SELECT count(*)::int FROM keypair WHERE environment_id = $1) AS keypairs`,
        [id],
      );
      if (contents.virtual_machines + contents.volumes + contents.snapshots + contents.firewalls + contents.keypairs > 0)
        throw new ApiError(
          405,
          `The environment '${environment.name}' is not empty: virtual machines: ${contents.virtual_machines}, ` +
            `volumes: ${contents.volumes}, firewalls: ${contents.firewalls}, keypairs: ${contents.keypairs}, snapshots: ${contents.snapshots}. Delete them first.`,
        );
      await transaction.query('UPDATE environment SET deleted_at = now() WHERE id = $1', [id]);
      await transaction.query('DELETE FROM environment_quota WHERE environment_id = $1', [id]);
    });
  }

  async nameAvailability(organizationId: OrganizationId, name: string): Promise<NameAvailability> {
    const misshapen = misshapenEnvironmentName(name);
    if (misshapen !== undefined) throw badRequest(`The name ${misshapen}.`);
    const refused = refusedEnvironmentName(name);
    if (refused !== undefined) return new NameAvailability(name, `The name ${refused}`);
    const taken = await this.dataSource.query<unknown[]>(
      `SELECT 1 FROM environment e WHERE ${LIVE} AND e.name = $2`,
      [organizationId, name],
    );
    return new NameAvailability(name, taken.length > 0 ? `There is already an environment '${name}'` : undefined);
  }

  private async uniquelyNamed<Result>(name: string, write: () => Promise<Result>): Promise<Result> {
    try {
      return await write();
    } catch (error) {
      if (violatedUnique(error) === 'uq_environment_name')
        throw alreadyExists(`There is already an environment '${name}' in your organization. Choose another name.`);
      throw poolExhausted(error) ?? error;
    }
  }
}
