/**
 * Owns API keys: each belongs to one user in one organization, and only that user sees it. The clear key leaves this
 * file once, in the answer to `generate`; the database has its hash.
 *
 * Race excluded: a key that is being revoked cannot leave a successor behind, nor an expiring key one that outlives
 * it: the new row is made out of the calling key's own row, locked, by one statement. A key that is made with an access
 * token is one of the token's organization and ends with the token.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { changeRows } from '../audit/change.js';
import { violatedUnique } from '../database/database-error.js';
import { alreadyExists, ApiError, badRequest, notFound } from '../http/api-error.js';
import type { GenerateApiKey, UpdateApiKey } from './api-key.requests.js';
import { apiKeyFields, type ApiKeyFields, type ApiKeyRow } from './identity.responses.js';
import type { KeyHolder, Principal } from './principal.js';
import { hashSecret, hintOf, newSecret } from './secrets.js';

const COLUMNS = 'id, name, description, hint, created_at, expires_at, last_used_at';

const OWN = 'organization_id = $1 AND user_id = $2';

@Injectable()
export class ApiKeysService {
  constructor(private readonly dataSource: DataSource) {}

  async list({ organizationId, userId }: Principal): Promise<ApiKeyFields[]> {
    const rows = await this.dataSource.query<ApiKeyRow[]>(
      `SELECT ${COLUMNS} FROM api_key WHERE ${OWN} ORDER BY id`,
      [organizationId, userId],
    );
    return rows.map((row) => apiKeyFields(row));
  }

  async generate(holder: KeyHolder, request: GenerateApiKey): Promise<ApiKeyFields> {
    const key = newSecret('key');
    const [row] = await this.uniquelyNamed(request.name, () =>
      changeRows<ApiKeyRow>(
        this.dataSource,
        holder,
        // LEAST passes over NULL, which stands for "never".
        `WITH parent AS (
           SELECT m.organization_id, k.user_id, k.expires_at FROM api_key k JOIN membership m ON m.user_id = k.user_id
            WHERE k.id = $1 AND m.organization_id = $7 FOR SHARE OF k, m)
         INSERT INTO api_key (organization_id, user_id, name, description, key_hash, hint, expires_at)
         SELECT organization_id, user_id, $2::text, $3::text, $4::bytea, $5::text, LEAST(expires_at, $6::timestamptz, $8::timestamptz)
           FROM parent
         RETURNING ${COLUMNS}`,
        [
          holder.apiKeyId,
          request.name,
          request.description ?? null,
          hashSecret(key),
          hintOf(key),
          expiryOf(request.expires_at),
          holder.organizationId,
          holder.tokenExpiresAt,
        ],
      ),
    );
    if (row === undefined) throw new ApiError(401, 'The API key that sent this was revoked meanwhile.');
    return apiKeyFields(row, key);
  }

  async update(principal: Principal, id: number, request: UpdateApiKey): Promise<ApiKeyFields> {
    const { organizationId, userId } = principal;
    const [row] = await this.uniquelyNamed(request.name, () =>
      changeRows<ApiKeyRow>(
        this.dataSource,
        principal,
        `WITH changed AS (
           UPDATE api_key SET name = $4, description = COALESCE($5, description) WHERE ${OWN} AND id = $3
           RETURNING ${COLUMNS})
         SELECT * FROM changed`,
        [organizationId, userId, id, request.name, request.description ?? null],
      ),
    );
    if (row === undefined) throw notFound('The API key');
    return apiKeyFields(row);
  }

  /** From the next request on, the key is not valid any more. */
  async delete(principal: Principal, id: number): Promise<void> {
    const { organizationId, userId } = principal;
    const deleted = await changeRows(
      this.dataSource,
      principal,
      `WITH gone AS (DELETE FROM api_key WHERE ${OWN} AND id = $3 RETURNING id) SELECT id FROM gone`,
      [organizationId, userId, id],
    );
    if (deleted.length === 0) throw notFound('The API key');
  }

  private async uniquelyNamed<Result>(name: string, change: () => Promise<Result>): Promise<Result> {
    try {
      return await change();
    } catch (error) {
      if (violatedUnique(error) === 'uq_api_key_organization_id_user_id_name')
        throw alreadyExists(`You already have an API key '${name}'. Choose another name.`);
      throw error;
    }
  }
}

function expiryOf(text: string | undefined): Date | null {
  if (text === undefined) return null;
  const expiry = new Date(/(Z|[+-]\d\d:\d\d)$/.test(text) ? text : `${text}Z`);
  if (Number.isNaN(expiry.getTime())) throw badRequest(`expires_at is no such date: ${text}.`);
  if (expiry.getTime() <= Date.now()) throw badRequest('expires_at must be in the future.');
  return expiry;
}
