/**
 * Owns keypairs: public keys only. A keypair belongs to an organization through its environment, so every statement
 * joins it. The key is kept byte for byte as it was sent, because Terraform compares it with its plan.
 *
 * Races: two imports of one name are told apart by the unique index; the environment is locked FOR KEY SHARE, so that
 * it cannot be deleted while a key is put into it. A deletion does not touch VMs: they carry copies.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { changeRows } from '../audit/change.js';
import type { OrganizationId } from '../../protocol/ids.js';
import { violatedUnique } from '../database/database-error.js';
import { alreadyExists, notFound } from '../http/api-error.js';
import type { Page } from '../http/envelope.js';
import { containing } from '../http/page-query.js';
import type { ImportKeypair } from './keypair.requests.js';
import { keypairFields, type KeypairFields, type KeypairRow } from './keypair.responses.js';
import { parsePublicKey } from './openssh-public-key.js';
import type { Principal } from '../identity/principal.js';

const COLUMNS = `k.id, k.name, k.fingerprint, k.public_key, k.created_at, e.id AS environment_id,
  e.name AS environment_name, e.created_at AS environment_created_at, r.name AS region, r.green_status, e.subnet`;

const PLACE = 'JOIN environment e ON e.id = k.environment_id JOIN region r ON r.id = e.region_id';

const MATCHING = `FROM keypair k ${PLACE} WHERE e.organization_id = $1 AND ($2::text IS NULL OR k.name ILIKE $2)`;

@Injectable()
export class KeypairsService {
  constructor(private readonly dataSource: DataSource) {}

  async list(
    organizationId: OrganizationId,
    search: string | undefined,
    page: Page | undefined,
  ): Promise<{ keypairs: KeypairFields[]; count: number }> {
    const filter = [organizationId, search === undefined ? null : containing(search)];
    const rows = await this.dataSource.query<KeypairRow[]>(
      `SELECT ${COLUMNS} ${MATCHING} ORDER BY k.id LIMIT $3 OFFSET $4`,
      [...filter, page?.pageSize ?? null, page === undefined ? 0 : (page.page - 1) * page.pageSize],
    );
    const count = page === undefined ? rows.length : await this.count(filter);
    return { keypairs: rows.map(keypairFields), count };
  }

  private async count(filter: unknown[]): Promise<number> {
    const [row] = await this.dataSource.query<[{ count: number }]>(`SELECT count(*)::int AS count ${MATCHING}`, filter);
    return row.count;
  }

  /** @param claim that Git makes it under. */
  async import(principal: Principal, request: ImportKeypair, claim: string | null = null): Promise<KeypairFields> {
    const { organizationId } = principal;
    const { fingerprint } = parsePublicKey(request.public_key);
    const [row] = await this.uniquelyNamed(request.name, () =>
      changeRows<KeypairRow>(
        this.dataSource,
        principal,
        `WITH home AS (
           SELECT id FROM environment WHERE organization_id = $1 AND name = $2 AND deleted_at IS NULL FOR KEY SHARE),
         k AS (
           INSERT INTO keypair (environment_id, name, public_key, fingerprint, gitops_claim)
           SELECT id, $3::text, $4::text, $5::text, $6::uuid FROM home
           RETURNING *)
         SELECT ${COLUMNS} FROM k ${PLACE}`,
        [organizationId, request.environment_name, request.name, request.public_key, fingerprint, claim],
      ),
    );
    if (row === undefined) throw notFound('The environment');
    return keypairFields(row);
  }

  async rename(principal: Principal, id: number, name: string): Promise<KeypairFields> {
    const { organizationId } = principal;
    const [row] = await this.uniquelyNamed(name, () =>
      changeRows<KeypairRow>(
        this.dataSource,
        principal,
        `WITH k AS (
           UPDATE keypair SET name = $3
            WHERE id = $2 AND environment_id IN (SELECT id FROM environment WHERE organization_id = $1)
           RETURNING *)
         SELECT ${COLUMNS} FROM k ${PLACE}`,
        [organizationId, id, name],
      ),
    );
    if (row === undefined) throw notFound('The keypair');
    return keypairFields(row);
  }

  async delete(principal: Principal, id: number): Promise<void> {
    const { organizationId } = principal;
    const deleted = await changeRows(
      this.dataSource,
      principal,
      `WITH gone AS (
         DELETE FROM keypair
          WHERE id = $2 AND environment_id IN (SELECT id FROM environment WHERE organization_id = $1)
         RETURNING id)
       SELECT id FROM gone`,
      [organizationId, id],
    );
    if (deleted.length === 0) throw notFound('The keypair');
  }

  private async uniquelyNamed<Result>(name: string, change: () => Promise<Result>): Promise<Result> {
    try {
      return await change();
    } catch (error) {
      if (violatedUnique(error) === 'uq_keypair_environment_id_name')
        throw alreadyExists(`There is already a keypair '${name}' in this environment. Choose another name.`);
      throw error;
    }
  }
}
