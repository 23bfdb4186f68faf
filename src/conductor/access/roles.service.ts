/**
 * Owns roles and who has them. Two things it must never do: let anybody hand out what he does not have himself, and
 * leave a member without the role he was given (he would fall back to reading, which may be more): a role that somebody
 * has is not deleted, which the foreign key decides.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { changeRows } from '../audit/change.js';
import type { OrganizationId } from '../../protocol/ids.js';
import { REFERENCE_GONE, sqlState, violatedUnique } from '../database/database-error.js';
import { alreadyExists, badRequest, notFound } from '../http/api-error.js';
import type { KeyHolder, Principal } from '../identity/principal.js';
import type { RoleRow } from './access.responses.js';
import { grantedBy, grantedTo, LOOKING, requireHeld, type Granted, type Grants, type MemberRole } from './granted.js';
import { permissionById } from './permissions.js';
import { policyById } from './policies.js';
import type { CreateUpdateRole } from './role.requests.js';

const COLUMNS = 'id, name, description, permissions, policies, created_at';

interface MemberRow {
  readonly role: MemberRole;
  readonly grants: Grants | null;
}

@Injectable()
export class RolesService {
  constructor(private readonly dataSource: DataSource) {}

  list(organizationId: OrganizationId): Promise<RoleRow[]> {
    return this.dataSource.query(`SELECT ${COLUMNS} FROM role WHERE organization_id = $1 ORDER BY id`, [organizationId]);
  }

  async get(organizationId: OrganizationId, id: number): Promise<RoleRow> {
    const [row] = await this.dataSource.query<RoleRow[]>(
      `SELECT ${COLUMNS} FROM role WHERE organization_id = $1 AND id = $2`,
      [organizationId, id],
    );
    if (row === undefined) throw notFound('The role');
    return row;
  }

  async create(caller: KeyHolder, request: CreateUpdateRole): Promise<RoleRow> {
    const { permissions, policies } = held(caller, request);
    const [row] = await uniquelyNamed(request.name, () =>
      changeRows<RoleRow>(
        this.dataSource,
        caller,
        `INSERT INTO role (organization_id, name, description, permissions, policies) VALUES ($1, $2, $3, $4, $5)
         RETURNING ${COLUMNS}`,
        [caller.organizationId, request.name, request.description, permissions, policies],
      ),
    );
    return row!;
  }

  async update(caller: KeyHolder, id: number, request: CreateUpdateRole): Promise<RoleRow> {
    const { permissions, policies } = held(caller, request);
    const [row] = await uniquelyNamed(request.name, () =>
      changeRows<RoleRow>(
        this.dataSource,
        caller,
        `WITH changed AS (
           UPDATE role SET name = $3, description = $4, permissions = $5, policies = $6
            WHERE organization_id = $1 AND id = $2 RETURNING ${COLUMNS})
         SELECT * FROM changed`,
        [caller.organizationId, id, request.name, request.description, permissions, policies],
      ),
    );
    if (row === undefined) throw notFound('The role');
    return row;
  }

  async delete(principal: Principal, id: number): Promise<void> {
    const { organizationId } = principal;
    try {
      const deleted = await changeRows(
        this.dataSource,
        principal,
        `WITH gone AS (DELETE FROM role WHERE organization_id = $1 AND id = $2 RETURNING id) SELECT id FROM gone`,
        [organizationId, id],
      );
      if (deleted.length === 0) throw notFound('The role');
    } catch (error) {
      if (sqlState(error) === REFERENCE_GONE)
        throw badRequest('Members have this role. Give them another one or take it from them, then delete it.');
      throw error;
    }
  }

  async assign(caller: KeyHolder, userId: number, roleId: number): Promise<RoleRow> {
    const role = await this.get(caller.organizationId, roleId);
    requireHeld(caller.granted, grantedBy(role));
    await this.write(caller, userId, roleId);
    return role;
  }

  /** The member may look at everything again, so that only who may do that himself may do this. */
  async unassign(caller: KeyHolder, userId: number): Promise<void> {
    requireHeld(caller.granted, LOOKING);
    await this.write(caller, userId, null);
  }

  async grantedTo(organizationId: OrganizationId, userId: number): Promise<Granted> {
    const { role, grants } = await this.member(organizationId, userId);
    return grantedTo(role, grants);
  }

  private async member(organizationId: OrganizationId, userId: number): Promise<MemberRow> {
    const [row] = await this.dataSource.query<MemberRow[]>(
      `SELECT m.role, CASE WHEN r.id IS NOT NULL THEN
                json_build_object('permissions', r.permissions, 'policies', r.policies) END AS grants
         FROM membership m LEFT JOIN role r ON r.id = m.role_id
        WHERE m.organization_id = $1 AND m.user_id = $2`,
      [organizationId, userId],
    );
    if (row === undefined) throw notFound('The user');
    return row;
  }

  private async write(caller: KeyHolder, userId: number, roleId: number | null): Promise<void> {
    const changed = await changeRows(
      this.dataSource,
      caller,
      `WITH changed AS (
         UPDATE membership SET role_id = $3 WHERE organization_id = $1 AND user_id = $2 AND role = 'member' RETURNING user_id AS id)
       SELECT * FROM changed`,
      [caller.organizationId, userId, roleId],
    ).catch((error: unknown) => {
      throw sqlState(error) === REFERENCE_GONE ? notFound('The role') : error;
    });
    if (changed.length > 0) return;
    await this.member(caller.organizationId, userId);
    throw badRequest('The user is an owner of the organization and may do everything; roles are for members.');
  }
}

/** The names of what is asked for by ids. @throws ApiError 400 for an unknown id, 403 for what the caller lacks. */
function held(caller: KeyHolder, request: CreateUpdateRole): Grants {
  const grants = {
    permissions: named('permission', '/v1/auth/permissions', request.permissions ?? [], permissionById),
    policies: named('policy', '/v1/auth/policies', request.policies ?? [], (id) => policyById(id)?.name),
  };
  requireHeld(caller.granted, grantedBy(grants));
  return grants;
}

function named(what: string, list: string, ids: readonly number[], nameOf: (id: number) => string | undefined): string[] {
  return [...new Set(ids)].map((id) => {
    const name = nameOf(id);
    if (name === undefined) throw badRequest(`There is no ${what} with the id ${id}. See GET ${list}.`);
    return name;
  });
}

async function uniquelyNamed<Result>(name: string, change: () => Promise<Result>): Promise<Result> {
  try {
    return await change();
  } catch (error) {
    if (violatedUnique(error) === 'uq_role_organization_id_name')
      throw alreadyExists(`The organization already has a role '${name}'. Choose another name.`);
    throw error;
  }
}
