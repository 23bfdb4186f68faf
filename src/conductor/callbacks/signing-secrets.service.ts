/**
 * The secrets that an organization's webhooks are signed with. The first is made when it is first needed; rotating
 * makes a new one and leaves the old one valid for a day, in which webhooks carry a signature by each.
 *
 * Both lock the organization's row, so that two conductors that need the first secret at once do not make two.
 */
import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { writeAudit } from '../audit/change.js';
import type { OrganizationId } from '../../protocol/ids.js';
import { ApiError } from '../http/api-error.js';
import type { Principal } from '../identity/principal.js';
import { newSigningSecret } from './webhook.js';

export interface ValidSecret {
  readonly id: number;
  readonly secret: string;
  readonly createdAt: Date;
  readonly expiresAt: Date | null;
}

/** Each valid secret is one more signature in a header of every webhook. */
const MOST_VALID = 5;

@Injectable()
export class SigningSecretsService {
  constructor(private readonly dataSource: DataSource) {}

  /** Newest first; never empty. */
  async valid(organizationId: OrganizationId): Promise<ValidSecret[]> {
    const existing = await selectValid(this.dataSource.manager, organizationId);
    if (existing.some(({ expiresAt }) => expiresAt === null)) return existing;
    return await this.locked(organizationId, async (manager) => {
      const current = await selectValid(manager, organizationId);
      if (current.some(({ expiresAt }) => expiresAt === null)) return current;
      await insertSecret(manager, organizationId);
      return await selectValid(manager, organizationId);
    });
  }

  async rotate(principal: Principal): Promise<ValidSecret[]> {
    const { organizationId, userId } = principal;
    return await this.locked(organizationId, async (manager) => {
      if ((await selectValid(manager, organizationId)).length >= MOST_VALID)
        throw new ApiError(
          429,
          `There are ${MOST_VALID} valid signing secrets. Wait until the oldest expires.`,
          undefined,
          3600,
        );
      await manager.query('DELETE FROM signing_secret WHERE organization_id = $1 AND expires_at <= now()', [
        organizationId,
      ]);
      await manager.query(
        `UPDATE signing_secret SET expires_at = now() + interval '24 hours'
          WHERE organization_id = $1 AND expires_at IS NULL`,
        [organizationId],
      );
      await insertSecret(manager, organizationId);
      await manager.query(
        `INSERT INTO event (organization_id, user_id, reason, object, message)
         VALUES ($1, $2, 'SigningSecretRotated', 'webhooks', 'The signing secret of webhooks was rotated')`,
        [organizationId, userId],
      );
      await writeAudit(manager, principal, []);
      return await selectValid(manager, organizationId);
    });
  }

  private async locked<Result>(id: OrganizationId, work: (manager: EntityManager) => Promise<Result>): Promise<Result> {
    return await this.dataSource.transaction(async (manager) => {
      await manager.query('SELECT FROM organization WHERE id = $1 FOR NO KEY UPDATE', [id]);
      return await work(manager);
    });
  }
}

const selectValid = (manager: EntityManager, organizationId: OrganizationId): Promise<ValidSecret[]> =>
  manager.query<ValidSecret[]>(
    `SELECT id, secret, created_at AS "createdAt", expires_at AS "expiresAt" FROM signing_secret
      WHERE organization_id = $1 AND (expires_at IS NULL OR expires_at > now()) ORDER BY id DESC`,
    [organizationId],
  );

const insertSecret = (manager: EntityManager, organizationId: OrganizationId): Promise<unknown> =>
  manager.query('INSERT INTO signing_secret (organization_id, secret) VALUES ($1, $2)', [
    organizationId,
    newSigningSecret(),
  ]);
