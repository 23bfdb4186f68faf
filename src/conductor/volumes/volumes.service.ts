/**
 * Owns volumes but for their attachments (`volume-attachments.ts`) and the removal of their files
 * (`volume-removals.ts`). Every statement names the organization.
 *
 * Races: names are told apart by the unique index. The environment is locked FOR KEY SHARE, so that it cannot be
 * deleted while a volume is put into it. Moving, deleting and attaching all lock the volume's row first, so that none
 * of them happens to a volume in the middle of another.
 */
import { Injectable } from '@nestjs/common';
import { randomUUID } from 'node:crypto';
import { DataSource, type EntityManager } from 'typeorm';
import type { ComputeNodeId, EnvironmentId, OrganizationId, RegionId } from '../../protocol/ids.js';
import { violatedUnique } from '../database/database-error.js';
import { alreadyExists, badRequest, notFound } from '../http/api-error.js';
import type { Page } from '../http/envelope.js';
import { NameAvailability } from '../http/name-availability.js';
import { containing } from '../http/page-query.js';
import type { Principal } from '../identity/principal.js';
import type { AttachmentStatus } from './volume-attachment.entity.js';
import { deriveVolumeStatus, renderVolume, SELECT_VOLUME, type VolumeRow } from './volume-view.js';
import { MAX_VOLUME_NAME_LENGTH, type CreateVolumePayload, type ListVolumes } from './volume.requests.js';
import type { VolumeFields } from './volume.responses.js';

export const VOLUME = 'The volume';

const LIVE = 'v.organization_id = $1 AND v.deleted_at IS NULL';

const MATCHING = `${LIVE} AND ($2::text IS NULL OR v.name ILIKE $2) AND ($3::text IS NULL OR e.name = $3 OR e.id::text = $3)`;

interface LockedVolume {
  readonly name: string;
  readonly region_id: RegionId;
  readonly compute_node_id: ComputeNodeId | null;
  readonly removing: boolean;
  readonly attachment: AttachmentStatus | null;
  readonly vm: string | null;
}

@Injectable()
export class VolumesService {
  constructor(private readonly dataSource: DataSource) {}

  async list(
    organizationId: OrganizationId,
    { search, environment }: ListVolumes,
    page: Page | undefined,
  ): Promise<{ volumes: VolumeFields[]; count: number }> {
    const filter = [organizationId, search === undefined ? null : containing(search), environment ?? null];
    const rows = await this.dataSource.query<VolumeRow[]>(
      `${SELECT_VOLUME} WHERE ${MATCHING} ORDER BY v.id LIMIT $4 OFFSET $5`,
      [...filter, page?.pageSize ?? null, page === undefined ? 0 : (page.page - 1) * page.pageSize],
    );
    const count = page === undefined ? rows.length : await this.count(filter);
    return { volumes: rows.map(renderVolume), count };
  }

  private async count(filter: unknown[]): Promise<number> {
    const [row] = await this.dataSource.query<[{ count: number }]>(
      `SELECT count(*)::int AS count FROM volume v JOIN environment e ON e.id = v.environment_id WHERE ${MATCHING}`,
      filter,
    );
    return row.count;
  }

  async get(organizationId: OrganizationId, id: number): Promise<VolumeFields> {
    return this.read(this.dataSource, organizationId, id);
  }

  /** Nothing happens on any node: the volume gets its place with its first attachment. */
  async create(principal: Principal, request: CreateVolumePayload): Promise<VolumeFields> {
    const { organizationId } = principal;
    return this.uniquelyNamed(request.name, () =>
      this.dataSource.transaction(async (transaction) => {
        const environment = await this.environment(transaction, organizationId, request.environment_name);
        const [{ id }] = await transaction.query<[{ id: number }]>(
          `INSERT INTO volume (uuid, organization_id, environment_id, user_id, name, description, size_gib, volume_type)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id`,
          [
            randomUUID(),
            organizationId,
            environment.id,
            principal.userId,
            request.name,
            request.description ?? '',
            request.size,
            request.volume_type,
          ],
        );
        return this.read(transaction, organizationId, id);
      }),
    );
  }

  async move(organizationId: OrganizationId, id: number, environmentName: string): Promise<VolumeFields> {
    return this.uniquelyNamed(undefined, () =>
      this.dataSource.transaction(async (transaction) => {
        const volume = await this.lock(transaction, organizationId, id);
        const environment = await this.environment(transaction, organizationId, environmentName);
        refuseUnlessAvailable(volume, 'moved');
        if (environment.region_id !== volume.region_id)
          throw badRequest(`The environment '${environmentName}' is in another region, and a volume cannot leave its region.`);
        await transaction.query('UPDATE volume SET environment_id = $2, updated_at = now() WHERE id = $1', [id, environment.id]);
        return this.read(transaction, organizationId, id);
      }),
    );
  }

  /** One that was never attached is gone at once, any other when its node has removed the file. */
  async delete(organizationId: OrganizationId, id: number): Promise<void> {
    await this.dataSource.transaction(async (transaction) => {
      const volume = await this.lock(transaction, organizationId, id);
      // What is on its way out needs no second push.
      if (volume.removing) return;
      refuseUnlessAvailable(volume, 'deleted');
      await transaction.query(
        `UPDATE volume SET removal_requested_at = now(), updated_at = now(),
                deleted_at = CASE WHEN compute_node_id IS NULL THEN now() END
          WHERE id = $1`,
        [id],
      );
    });
  }

  async nameAvailability(organizationId: OrganizationId, name: string): Promise<NameAvailability> {
    if (name.length > MAX_VOLUME_NAME_LENGTH) throw badRequest(`The name must have 1 to ${MAX_VOLUME_NAME_LENGTH} characters.`);
    const taken = await this.dataSource.query<unknown[]>(`SELECT 1 FROM volume v WHERE ${LIVE} AND v.name = $2 LIMIT 1`, [
      organizationId,
      name,
    ]);
    return new NameAvailability(name, taken.length > 0 ? `There is already a volume '${name}'` : undefined);
  }

  private async read(on: Pick<DataSource, 'query'>, organizationId: OrganizationId, id: number): Promise<VolumeFields> {
    const [row] = await on.query<VolumeRow[]>(`${SELECT_VOLUME} WHERE ${LIVE} AND v.id = $2`, [organizationId, id]);
    if (row === undefined) throw notFound(VOLUME);
    return renderVolume(row);
  }

  private async environment(transaction: EntityManager, organizationId: OrganizationId, name: string) {
    const [environment] = await transaction.query<{ id: EnvironmentId; region_id: RegionId }[]>(
      'SELECT id, region_id FROM environment WHERE organization_id = $1 AND name = $2 AND deleted_at IS NULL FOR KEY SHARE',
      [organizationId, name],
    );
    if (environment === undefined) throw notFound('The environment');
    return environment;
  }

  private async lock(transaction: EntityManager, organizationId: OrganizationId, id: number): Promise<LockedVolume> {
    const parameters = [organizationId, id];
    const locked = await transaction.query<unknown[]>(`SELECT 1 FROM volume v WHERE ${LIVE} AND v.id = $2 FOR UPDATE`, parameters);
    if (locked.length === 0) throw notFound(VOLUME);
    // A statement of its own, after the lock was waited for: it sees what the one before us did.
    const [volume] = await transaction.query<[LockedVolume]>(
      `SELECT v.name, e.region_id, v.compute_node_id, v.removal_requested_at IS NOT NULL AS removing, a.status AS attachment,
              vm.name AS vm
         FROM volume v
         JOIN environment e ON e.id = v.environment_id
         LEFT JOIN volume_attachment a ON a.volume_id = v.id AND a.status <> 'DETACHED'
         LEFT JOIN virtual_machine vm ON vm.id = a.virtual_machine_id
        WHERE ${LIVE} AND v.id = $2`,
      parameters,
    );
    return volume;
  }

  private async uniquelyNamed<Result>(name: string | undefined, change: () => Promise<Result>): Promise<Result> {
    try {
      return await change();
    } catch (error) {
      if (violatedUnique(error) === 'uq_volume_name')
        throw alreadyExists(`There is already a volume ${name === undefined ? 'of this name' : `'${name}'`} in this environment. Choose another name.`);
      throw error;
    }
  }
}

function refuseUnlessAvailable({ name, removing, attachment, vm }: LockedVolume, done: string): void {
  const status = deriveVolumeStatus(removing, attachment);
  if (status === 'available') return;
  throw badRequest(
    attachment === null
      ? `The volume '${name}' is ${status}.`
      : `The volume '${name}' is ${status} (virtual machine '${vm}'); it can be ${done} when it is detached.`,
  );
}
