/**
 * Owns volumes but for their attachments (`volume-attachments.ts`), their growth (`volume-growth.ts`) and what is asked
 * of their nodes (`volume-preparations.ts`, `volume-removals.ts`). Every statement names the organization.
 *
 * Races: names are told apart by the unique index. The environment is locked FOR KEY SHARE, so that it cannot be
 * deleted while a volume is put into it. Moving, deleting and attaching all lock the volume's row first, so that none
 * of them happens to a volume in the middle of another.
 */
import { Injectable } from '@nestjs/common';
import { randomUUID } from 'node:crypto';
import { DataSource, type EntityManager } from 'typeorm';
import { change, writeAudit } from '../audit/change.js';
import type { ComputeNodeId, EnvironmentId, ImageId, OrganizationId, RegionId } from '../../protocol/ids.js';
import type { ImageStatus } from '../catalog/image.entity.js';
import { InjectConfig } from '../../config/config.module.js';
import type { Config } from '../../config/settings.js';
import { CallbackDeliverer } from '../callbacks/callback-deliverer.js';
import { violatedUnique } from '../database/database-error.js';
import { EgressPolicy } from '../egress/egress-policy.js';
import { FleetView } from '../fleet/fleet-view.js';
import { alreadyExists, ApiError, badRequest, notFound } from '../http/api-error.js';
import type { Page } from '../http/envelope.js';
import { NameAvailability } from '../http/name-availability.js';
import { containing } from '../http/page-query.js';
import type { Principal } from '../identity/principal.js';
import { explainInWords } from '../scheduling/explain-in-words.js';
import { place } from '../scheduling/placement.js';
import { TaskRelay } from '../tasks/task-relay.js';
import { growVolume } from './volume-growth.js';
import { lockVolume, refuseUnlessAvailable, VOLUME } from './volume-lock.js';
import { claimDisk } from './volume-place.js';
import { tellOfVolumes } from './volume-status-changes.js';
import { renderVolume, SELECT_VOLUME, type VolumeRow } from './volume-view.js';
import { MAX_VOLUME_NAME_LENGTH, type CreateVolumePayload, type ListVolumes, type UpdateVolumePayload } from './volume.requests.js';
import type { VolumeFields } from './volume.responses.js';

const LIVE = 'v.organization_id = $1 AND v.deleted_at IS NULL';

const MATCHING = `${LIVE} AND ($2::text IS NULL OR v.name ILIKE $2) AND ($3::text IS NULL OR e.name = $3 OR e.id::text = $3)`;

/** How often a lost race for the room on a node is run again. */
const ATTEMPTS = 8;

interface ImageFacts {
  readonly id: ImageId;
  readonly name: string;
  readonly status: ImageStatus;
  readonly min_disk_gib: number;
  readonly of_snapshot: boolean;
}

@Injectable()
export class VolumesService {
  constructor(
    private readonly dataSource: DataSource,
    private readonly fleet: FleetView,
    private readonly egress: EgressPolicy,
    private readonly relay: TaskRelay,
    private readonly deliverer: CallbackDeliverer,
    @InjectConfig() private readonly config: Config,
  ) {}

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

  /**
   * An empty volume gets its place with its first attachment, and nothing happens on any node. One of an image gets its
   * place at once, and its node makes it.
   */
  async create(principal: Principal, request: CreateVolumePayload): Promise<VolumeFields> {
    if (request.callback_url) this.egress.checkUrl(request.callback_url);
    for (let attempt = 1; ; attempt++) {
      const volume = await this.tryToCreate(principal, request, attempt > 1);
      if (volume !== undefined) return volume;
      if (attempt === ATTEMPTS) throw new ApiError(503, 'Much room is being claimed at this moment. Try again shortly.', undefined, 1);
    }
  }

  /** @returns undefined when somebody else was faster to take the room. */
  private async tryToCreate(principal: Principal, request: CreateVolumePayload, lookAgain: boolean): Promise<VolumeFields | undefined> {
    const { organizationId } = principal;
    // As answers have it: 0 is none.
    const imageId = request.image_id || undefined;
    const place = imageId === undefined ? undefined : await this.placeFor(organizationId, request, lookAgain);
    const result = await this.uniquelyNamed(request.name, () =>
      this.dataSource.transaction(async (transaction) => {
        const environment = await this.environment(transaction, organizationId, request.environment_name);
        const image = imageId === undefined ? undefined : await this.image(transaction, organizationId, environment.region_id, imageId);
        if (image !== undefined) refuseUnusable(image, request.size);
        if (place !== undefined && !(await claimDisk(transaction, place, request.size))) return undefined;
        const [{ id }] = await transaction.query<[{ id: number }]>(
          `INSERT INTO volume (uuid, organization_id, environment_id, user_id, name, description, size_gib, volume_type,
                               callback_url, image_id, compute_node_id)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING id`,
          [
            randomUUID(),
            organizationId,
            environment.id,
            principal.userId,
            request.name,
            request.description ?? '',
            request.size,
            request.volume_type,
            request.callback_url || null,
            image?.id ?? null,
            place ?? null,
          ],
        );
        await writeAudit(transaction, principal, [id]);
        const told = await tellOfVolumes(transaction, 'create', [id]);
        return { volume: await this.read(transaction, organizationId, id), told };
      }),
    );
    if (result?.told) this.deliverer.wake();
    if (result !== undefined && place !== undefined) this.fleet.noteClaim(place, { vcpus: 0, memoryMib: 0, diskGib: request.size });
    return result?.volume;
  }

  /** A node with the room. @throws ApiError 404; 409 when no node has it. */
  private async placeFor(organizationId: OrganizationId, request: CreateVolumePayload, lookAgain: boolean): Promise<ComputeNodeId> {
    if (lookAgain) await this.fleet.refresh();
    const environment = await this.environment(this.dataSource.manager, organizationId, request.environment_name);
    const result = place(
      await this.fleet.nodes(),
      { regionId: environment.region_id, regionName: environment.region, vcpus: 0, memoryMib: 0, diskGib: request.size, count: 1 },
      { policy: this.config.placementPolicy, random: Math.random },
    );
    if ('placed' in result) return result.placed[0]!;
    // Before refusing, make sure that it was not the picture that was old.
    if (!lookAgain) return this.placeFor(organizationId, request, true);
    throw new ApiError(409, explainInWords(result.refused), 'no_capacity');
  }

  /** Moves the volume, makes it larger, or both. */
  async change(principal: Principal, id: number, { environment_name, size }: UpdateVolumePayload): Promise<VolumeFields> {
    if (environment_name === undefined && size === undefined) throw badRequest('Name what shall change: environment_name, size, or both.');
    const { organizationId } = principal;
    const volume = await this.uniquelyNamed(undefined, () =>
      change(this.dataSource, principal, async (transaction) => {
        if (size !== undefined) await growVolume(transaction, principal, id, size);
        if (environment_name !== undefined) await this.move(transaction, organizationId, id, environment_name);
        return this.read(transaction, organizationId, id);
      }),
    );
    if (size !== undefined) this.relay.wake();
    return volume;
  }

  private async move(transaction: EntityManager, organizationId: OrganizationId, id: number, environmentName: string): Promise<void> {
    const volume = await lockVolume(transaction, organizationId, id);
    const environment = await this.environment(transaction, organizationId, environmentName);
    refuseUnlessAvailable(volume, 'moved');
    if (environment.region_id !== volume.region_id)
      throw badRequest(`The environment '${environmentName}' is in another region, and a volume cannot leave its region.`);
    await transaction.query('UPDATE volume SET environment_id = $2, updated_at = now() WHERE id = $1', [id, environment.id]);
  }

  /** One that is on no node is gone at once, any other when its node has removed the file. */
  async delete(principal: Principal, id: number): Promise<void> {
    const { organizationId } = principal;
    const told = await change(this.dataSource, principal, async (transaction) => {
      const volume = await lockVolume(transaction, organizationId, id);
      // What is on its way out needs no second push.
      if (volume.stage === 'removing') return false;
      if (volume.attachment !== null || volume.stage === 'ready') refuseUnlessAvailable(volume, 'deleted');
      await transaction.query(
        `UPDATE volume SET removal_requested_at = now(), updated_at = now(),
                deleted_at = CASE WHEN compute_node_id IS NULL THEN now() END
          WHERE id = $1`,
        [id],
      );
      return tellOfVolumes(transaction, 'delete', [id]);
    });
    if (told) this.deliverer.wake();
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
    const [environment] = await transaction.query<{ id: EnvironmentId; region_id: RegionId; region: string }[]>(
      `SELECT e.id, e.region_id, r.name AS region FROM environment e JOIN region r ON r.id = e.region_id
        WHERE e.organization_id = $1 AND e.name = $2 AND e.deleted_at IS NULL FOR KEY SHARE OF e`,
      [organizationId, name],
    );
    if (environment === undefined) throw notFound('The environment');
    return environment;
  }

  private async image(transaction: EntityManager, organizationId: OrganizationId, region: RegionId, id: number): Promise<ImageFacts> {
    const [image] = await transaction.query<ImageFacts[]>(
      `SELECT id, name, status, min_disk_gib, snapshot_id IS NOT NULL AS of_snapshot FROM image
        WHERE id = $1 AND region_id = $2 AND deleted_at IS NULL AND (organization_id = $3 OR organization_id IS NULL) FOR KEY SHARE`,
      [id, region, organizationId],
    );
    if (image === undefined) throw notFound(`The image ${id} in the region of the environment`);
    return image;
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

function refuseUnusable({ id, name, status, min_disk_gib, of_snapshot }: ImageFacts, sizeGib: number): void {
  if (status !== 'available')
    throw badRequest(`The image '${name}' cannot be used: its status is ${status}. GET /v1/core/images/${id} says why.`);
  if (of_snapshot)
    throw badRequest(`The image '${name}' is of a snapshot, which only its node has. Create a virtual machine of it with create_bootable_volume instead.`);
  if (sizeGib < min_disk_gib) throw badRequest(`The image '${name}' needs a volume of at least ${min_disk_gib} GiB.`);
}
