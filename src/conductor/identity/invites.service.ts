/**
 * Owns invites. An invite is for the user with its email address and for nobody else; its id is no secret. Whoever
 * accepts it becomes a member without a role and gets a key of the organization, shown once, that is valid no longer
 * than the key it was accepted with.
 *
 * Race excluded: one invite, accepted twice or withdrawn meanwhile: the one statement that accepts it changes its
 * status first and joins only if that was `PENDING`.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { changeRows, writeAudit } from '../audit/change.js';
import type { OrganizationId } from '../../protocol/ids.js';
import { LOOKING, requireHeld } from '../access/granted.js';
import { violatedUnique } from '../database/database-error.js';
import { alreadyExists, notFound } from '../http/api-error.js';
import { apiKeyFields, type ApiKeyFields, type ApiKeyRow } from './identity.responses.js';
import type { InviteRow } from './organization.responses.js';
import type { KeyHolder, Principal } from './principal.js';
import { hashSecret, hintOf, newSecret } from './secrets.js';

const COLUMNS = 'id, email, status, created_at';

@Injectable()
export class InvitesService {
  constructor(private readonly dataSource: DataSource) {}

  list(organizationId: OrganizationId): Promise<InviteRow[]> {
    return this.dataSource.query(`SELECT ${COLUMNS} FROM invite WHERE organization_id = $1 ORDER BY id`, [organizationId]);
  }

  async invite(caller: KeyHolder, email: string): Promise<InviteRow> {
    // Whoever comes may read everything, so that only who may do that himself may invite.
    requireHeld(caller.granted, LOOKING);
    try {
      const [row] = await changeRows<InviteRow>(
        this.dataSource,
        caller,
        `INSERT INTO invite (organization_id, email, invited_by)
         SELECT $1::int, lower($2::text), $3::int
          WHERE NOT EXISTS (SELECT 1 FROM membership m JOIN user_account u ON u.id = m.user_id
                             WHERE m.organization_id = $1 AND lower(u.email) = lower($2))
         RETURNING ${COLUMNS}`,
        [caller.organizationId, email, caller.userId],
      );
      if (row === undefined) throw alreadyExists(`${email} is already a member of the organization.`);
      return row;
    } catch (error) {
      if (violatedUnique(error) === 'uq_invite_pending')
        throw alreadyExists(`${email} was already invited. Delete that invite to send another.`);
      throw error;
    }
  }

  async delete(principal: Principal, id: number): Promise<void> {
    const { organizationId } = principal;
    const deleted = await changeRows(
      this.dataSource,
      principal,
      'WITH gone AS (DELETE FROM invite WHERE organization_id = $1 AND id = $2 RETURNING id) SELECT id FROM gone',
      [organizationId, id],
    );
    if (deleted.length === 0) throw notFound('The invite');
  }

  async accept(caller: KeyHolder, id: number): Promise<ApiKeyFields> {
    const key = newSecret('key');
    try {
      const row = await this.dataSource.transaction(async (transaction) => {
        const [made] = await transaction.query<(ApiKeyRow & { organization_id: OrganizationId })[]>(
        `WITH accepted AS (
           UPDATE invite i SET status = 'ACCEPTED' FROM user_account u
            WHERE i.id = $1 AND u.id = $2 AND i.email = lower(u.email) AND i.status = 'PENDING' RETURNING i.organization_id
         ), joined AS (
           INSERT INTO membership (organization_id, user_id, role)
           SELECT organization_id, $2::int, 'member' FROM accepted RETURNING organization_id, user_id
         ), made AS (
           INSERT INTO api_key (organization_id, user_id, name, description, key_hash, hint, expires_at)
           SELECT j.organization_id, j.user_id, 'invite', 'Made when the invite was accepted', $4::bytea, $5::text, LEAST(parent.expires_at, $6::timestamptz)
             FROM joined j, api_key parent WHERE parent.id = $3
           RETURNING organization_id, id, name, description, hint, created_at, expires_at, last_used_at)
         SELECT * FROM made`,
        [id, caller.userId, caller.apiKeyId, hashSecret(key), hintOf(key), caller.tokenExpiresAt],
      );
        // In the organization that was joined, which is not the key's.
        if (made !== undefined) await writeAudit(transaction, { ...caller, organizationId: made.organization_id }, [id]);
        return made;
      });
      if (row === undefined) throw notFound('A pending invite for your email address');
      return apiKeyFields(row, key);
    } catch (error) {
      if (violatedUnique(error) === 'pk_membership') throw alreadyExists('You are already a member of the organization.');
      throw error;
    }
  }
}
