/**
 * Owns organizations and who belongs to them. Removing a member ends that user's API keys of the organization in the
 * same moment: they hang on the membership by foreign key. What the user made stays; it is the organization's.
 *
 * Race excluded: two owners who remove each other at once. The owners' rows are locked before they are counted.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { change } from '../audit/change.js';
import type { OrganizationId, UserId } from '../../protocol/ids.js';
import { violatedUnique } from '../database/database-error.js';
import { alreadyExists, ApiError, badRequest, notFound } from '../http/api-error.js';
import { OrganizationFields, type MemberRow, type OrganizationRow } from './organization.responses.js';
import type { Principal } from './principal.js';

const MEMBERS = `
  SELECT m.organization_id, u.id, u.email, u.username, u.name, m.role, r.name AS role_name, m.joined_at,
         (SELECT max(k.last_used_at) FROM api_key k
           WHERE k.organization_id = m.organization_id AND k.user_id = m.user_id) AS last_login
    FROM membership m JOIN user_account u ON u.id = m.user_id LEFT JOIN role r ON r.id = m.role_id`;

const INSTANCES = `(SELECT count(*)::int FROM virtual_machine vm WHERE vm.organization_id = o.id AND vm.deleted_at IS NULL)`;
const VOLUMES = `(SELECT count(*)::int FROM volume v WHERE v.organization_id = o.id AND v.deleted_at IS NULL)`;

@Injectable()
export class OrganizationsService {
  constructor(private readonly dataSource: DataSource) {}

  async get(id: OrganizationId): Promise<OrganizationFields> {
    const [organization] = await this.dataSource.query<OrganizationRow[]>(
      `SELECT o.id, o.name, o.created_at, ${INSTANCES} AS total_instances, ${VOLUMES} AS total_volumes
         FROM organization o WHERE o.id = $1`,
      [id],
    );
    if (organization === undefined) throw notFound('The organization');
    const members = await this.dataSource.query<MemberRow[]>(`${MEMBERS} WHERE m.organization_id = $1 ORDER BY u.id`, [id]);
    return new OrganizationFields(organization, members);
  }

  /** The caller's organizations: of others than the key's no more than that the caller belongs to them. */
  async ofUser({ organizationId, userId }: Principal): Promise<OrganizationFields[]> {
    const rows = await this.dataSource.query<OrganizationRow[]>(
      `SELECT o.id, o.name, o.created_at, CASE WHEN o.id = $1 THEN ${INSTANCES} END AS total_instances,
              CASE WHEN o.id = $1 THEN ${VOLUMES} END AS total_volumes
         FROM organization o JOIN membership m ON m.organization_id = o.id WHERE m.user_id = $2 ORDER BY o.id`,
      [organizationId, userId],
    );
    const own = await this.dataSource.query<(MemberRow & { organization_id: number })[]>(
      `${MEMBERS} WHERE m.user_id = $1`,
      [userId],
    );
    return rows.map((row) => new OrganizationFields(row, own.filter((member) => member.organization_id === row.id)));
  }

  async rename(principal: Principal, name: string): Promise<void> {
    try {
      await change(this.dataSource, principal, (transaction, concerns) => {
        concerns(principal.organizationId);
        return transaction.query('UPDATE organization SET name = $2 WHERE id = $1', [principal.organizationId, name]);
      });
    } catch (error) {
      if (violatedUnique(error) === 'uq_organization_name')
        throw alreadyExists(`There is already an organization '${name}'. Choose another name.`);
      throw error;
    }
  }

  async removeMember(principal: Principal, email: string): Promise<void> {
    const { organizationId, userId } = principal;
    await change(this.dataSource, principal, async (transaction, concerns) => {
      const owners = await transaction.query<{ user_id: UserId }[]>(
        `SELECT user_id FROM membership WHERE organization_id = $1 AND role = 'owner' ORDER BY user_id FOR UPDATE`,
        [organizationId],
      );
      const [member] = await transaction.query<{ user_id: UserId }[]>(
        `SELECT m.user_id FROM membership m JOIN user_account u ON u.id = m.user_id
          WHERE m.organization_id = $1 AND lower(u.email) = lower($2)`,
        [organizationId, email],
      );
      if (member === undefined) throw notFound('A member with this email address');
      const isOwner = (id: UserId): boolean => owners.some((owner) => owner.user_id === id);
      if (isOwner(member.user_id)) {
        if (!isOwner(userId)) throw new ApiError(403, 'Only an owner can remove an owner of the organization.');
        if (owners.length === 1)
          throw badRequest('This is the only owner of the organization. Have the operator name another one first.');
      }
      concerns(member.user_id);
      await transaction.query('DELETE FROM membership WHERE organization_id = $1 AND user_id = $2', [
        organizationId,
        member.user_id,
      ]);
    });
  }
}
