/**
 * Owns access tokens. The clear token leaves this file once, in the answer that made it.
 *
 * Race excluded: what a token was made with ends meanwhile. The new row is made out of the calling key's own row and
 * the membership, both locked, by one statement; when either goes, the token goes with it.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { changeRows } from '../audit/change.js';
import type { OrganizationId } from '../../protocol/ids.js';
import { notFound } from '../http/api-error.js';
import type { KeyHolder } from './principal.js';
import { hashSecret, newSecret } from './secrets.js';

const LIFETIME_MINUTES = 60;

@Injectable()
export class AccessTokensService {
  constructor(private readonly dataSource: DataSource) {}

  /**
   * @returns a bearer for another organization of the caller's, in clear.
   * @throws ApiError 404 for an organization that he does not belong to, be there one or not.
   */
  async forOrganization(holder: KeyHolder, organizationId: OrganizationId): Promise<string> {
    const token = newSecret('token');
    const made = await changeRows(
      this.dataSource,
      { ...holder, organizationId },
      // LEAST passes over NULL, which stands for "never".
      `WITH parent AS (
         SELECT k.id, m.organization_id, m.user_id, k.expires_at
           FROM api_key k JOIN membership m ON m.user_id = k.user_id
          WHERE k.id = $1 AND m.organization_id = $2 FOR SHARE OF k, m
       ), outdated AS (
         DELETE FROM access_token WHERE api_key_id = $1 AND expires_at < now()
       )
       INSERT INTO access_token (organization_id, user_id, api_key_id, token_hash, expires_at)
       SELECT organization_id, user_id, id, $3::bytea, LEAST(expires_at, $4::timestamptz, now() + make_interval(mins => $5))
         FROM parent RETURNING id`,
      [holder.apiKeyId, organizationId, hashSecret(token), holder.tokenExpiresAt, LIFETIME_MINUTES],
    );
    if (made.length === 0) throw notFound('The organization');
    return token;
  }
}
