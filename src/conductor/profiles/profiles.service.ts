/**
 * Owns profiles. Those that a request for VMs asks for are inserted with the VMs themselves (`vm-insertion.ts`). Two
 * profiles of one name are told apart by the unique constraint.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { changeRows } from '../audit/change.js';
import type { OrganizationId } from '../../protocol/ids.js';
import { violatedUnique } from '../database/database-error.js';
import { alreadyExists, notFound } from '../http/api-error.js';
import type { ApiError } from '../http/api-error.js';
import type { CreateProfilePayload } from './profile.requests.js';
import { profileFields, type ProfileFields, type ProfileRow } from './profile.responses.js';
import type { Principal } from '../identity/principal.js';

export const PROFILE_NAME_TAKEN = 'uq_profile_organization_id_name';

export const profileExists = (name: string): ApiError =>
  alreadyExists(`There is already a profile '${name}'. Choose another name, or delete that one.`);

const COLUMNS = 'id, name, description, data, created_at';

@Injectable()
export class ProfilesService {
  constructor(private readonly dataSource: DataSource) {}

  async list(organizationId: OrganizationId): Promise<ProfileFields[]> {
    const rows = await this.dataSource.query<ProfileRow[]>(
      `SELECT ${COLUMNS} FROM profile WHERE organization_id = $1 ORDER BY id`,
      [organizationId],
    );
    return rows.map(profileFields);
  }

  async get(organizationId: OrganizationId, id: number): Promise<ProfileFields> {
    const [row] = await this.dataSource.query<ProfileRow[]>(
      `SELECT ${COLUMNS} FROM profile WHERE organization_id = $1 AND id = $2`,
      [organizationId, id],
    );
    if (row === undefined) throw notFound('The profile');
    return profileFields(row);
  }

  /** @param claim that Git makes it under. */
  async create(principal: Principal, { name, description, data }: CreateProfilePayload, claim: string | null = null): Promise<ProfileFields> {
    const { organizationId } = principal;
    try {
      const [row] = await changeRows<ProfileRow>(
        this.dataSource,
        principal,
        `INSERT INTO profile (organization_id, name, description, data, gitops_claim) VALUES ($1, $2, $3, $4, $5) RETURNING ${COLUMNS}`,
        [organizationId, name, description ?? '', JSON.stringify(data), claim],
      );
      return profileFields(row!);
    } catch (error) {
      if (violatedUnique(error) === PROFILE_NAME_TAKEN) throw profileExists(name);
      throw error;
    }
  }

  async delete(principal: Principal, id: number): Promise<void> {
    const { organizationId } = principal;
    const deleted = await changeRows(
      this.dataSource,
      principal,
      'WITH gone AS (DELETE FROM profile WHERE organization_id = $1 AND id = $2 RETURNING id) SELECT id FROM gone',
      [organizationId, id],
    );
    if (deleted.length === 0) throw notFound('The profile');
  }
}
