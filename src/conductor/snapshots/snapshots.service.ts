/**
 * Reads and deletes snapshots. How they come to be is in `snapshot-creation.ts` and `snapshot-reports.ts`, how their
 * files go in `snapshot-removals.ts`. Every statement names the organization.
 *
 * The race it excludes: a snapshot that is deleted while a VM is being made of it. Whoever makes one locks the snapshot's
 * row FOR KEY SHARE (`vm-insertion.ts`); deletion locks it FOR UPDATE first and then looks for such VMs. One that has
 * its disk keeps it: it has the file under a name of its own.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { OrganizationId } from '../../protocol/ids.js';
import { writeAudit } from '../audit/change.js';
import { CallbackDeliverer } from '../callbacks/callback-deliverer.js';
import { ApiError, badRequest, notFound } from '../http/api-error.js';
import { apiTime, type Page } from '../http/envelope.js';
import { NameAvailability } from '../http/name-availability.js';
import { containing, type SearchQuery } from '../http/page-query.js';
import type { Principal } from '../identity/principal.js';
import { writeSnapshotNews } from './snapshot-news.js';
import { MAX_SNAPSHOT_NAME_LENGTH } from './snapshot.requests.js';
import type { SnapshotEventFields, SnapshotFields, SnapshotRetrieveFields } from './snapshot.responses.js';
import type { SnapshotState } from './snapshot-status.js';
import { renderSnapshot, renderSnapshotAlone, SELECT_SNAPSHOT, type SnapshotRow } from './snapshot-view.js';

export const SNAPSHOT = 'The snapshot';

const LIVE = 's.organization_id = $1 AND s.deleted_at IS NULL';
const MATCHING = `${LIVE} AND ($2::text IS NULL OR s.name ILIKE $2 OR s.id::text = $3)`;

interface LockedSnapshot {
  readonly name: string;
  readonly state: SnapshotState;
  readonly removing: boolean;
}

@Injectable()
export class SnapshotsService {
  constructor(
    private readonly dataSource: DataSource,
    private readonly deliverer: CallbackDeliverer,
  ) {}

  /** Found by part of the name, or by the whole id. */
  async list(
    organizationId: OrganizationId,
    { search }: SearchQuery,
    page: Page | undefined,
  ): Promise<{ snapshots: SnapshotFields[]; count: number }> {
    const filter = [organizationId, search === undefined ? null : containing(search), search ?? null];
    const rows = await this.dataSource.query<SnapshotRow[]>(
      `${SELECT_SNAPSHOT} WHERE ${MATCHING} ORDER BY s.id LIMIT $4 OFFSET $5`,
      [...filter, page?.pageSize ?? null, page === undefined ? 0 : (page.page - 1) * page.pageSize],
    );
    const count = page === undefined ? rows.length : await this.count(filter);
    return { snapshots: rows.map(renderSnapshot), count };
  }

  private async count(filter: unknown[]): Promise<number> {
    const [row] = await this.dataSource.query<[{ count: number }]>(`SELECT count(*)::int AS count FROM snapshot s WHERE ${MATCHING}`, filter);
    return row.count;
  }

  async get(organizationId: OrganizationId, id: number): Promise<SnapshotRetrieveFields> {
    const [row] = await this.dataSource.query<SnapshotRow[]>(`${SELECT_SNAPSHOT} WHERE ${LIVE} AND s.id = $2`, [organizationId, id]);
    if (row === undefined) throw notFound(SNAPSHOT);
    return renderSnapshotAlone(row);
  }

  /** With it goes the image that was made of it. */
  async delete(principal: Principal, id: number): Promise<void> {
    const { organizationId, userId } = principal;
    const told = await this.dataSource.transaction(async (transaction) => {
      const [snapshot] = await transaction.query<LockedSnapshot[]>(
        `SELECT s.name, s.state, s.removal_requested_at IS NOT NULL AS removing FROM snapshot s WHERE ${LIVE} AND s.id = $2 FOR UPDATE`,
        [organizationId, id],
      );
      if (snapshot === undefined) throw notFound(SNAPSHOT);
      // What is on its way out needs no second push.
      if (snapshot.removing) return false;
      if (snapshot.state === 'CREATING')
        throw badRequest(`The snapshot '${snapshot.name}' is CREATING; it can be deleted when it is complete or has failed.`);
      const [user] = await transaction.query<{ name: string }[]>(
        `SELECT vm.name FROM virtual_machine vm JOIN snapshot s ON s.id = $2
          WHERE vm.organization_id = $1 AND vm.deleted_at IS NULL AND vm.status IN ('CREATING', 'BUILD')
            AND vm.hardware->'image'->'disk'->>'snapshot' = s.uuid::text LIMIT 1`,
        [organizationId, id],
      );
      if (user !== undefined)
        throw new ApiError(409, `${user.name} is being made of the snapshot '${snapshot.name}'. Delete it when that VM is ACTIVE.`, 'in_use');
      await transaction.query('UPDATE snapshot SET removal_requested_at = now(), updated_at = now() WHERE id = $1', [id]);
      await transaction.query('UPDATE image SET deleted_at = now() WHERE snapshot_id = $1 AND deleted_at IS NULL', [id]);
      await writeAudit(transaction, principal, [id]);
      return await writeSnapshotNews(transaction, [{ snapshotId: id, news: 'removing', userId }]);
    });
    if (told) this.deliverer.wake();
  }

  async nameAvailability(organizationId: OrganizationId, name: string): Promise<NameAvailability> {
    if (name.length > MAX_SNAPSHOT_NAME_LENGTH) throw badRequest(`The name must have 1 to ${MAX_SNAPSHOT_NAME_LENGTH} characters.`);
    const taken = await this.dataSource.query<unknown[]>(
      `SELECT 1 FROM snapshot s WHERE ${LIVE} AND s.removal_requested_at IS NULL AND s.name = $2`,
      [organizationId, name],
    );
    return new NameAvailability(name, taken.length > 0 ? `There is already a snapshot '${name}'` : undefined);
  }

  /** Oldest first. The snapshot may be deleted: its history stays readable. */
  async events(organizationId: OrganizationId, id: number): Promise<SnapshotEventFields[]> {
    const rows = await this.dataSource.query<(Omit<SnapshotEventFields, 'id' | 'time'> & { id: string; time: Date })[]>(
      `SELECT id, snapshot_id, user_id, organization_id AS org_id, time, type, reason, object, message
         FROM event WHERE organization_id = $1 AND snapshot_id = $2 ORDER BY id`,
      [organizationId, id],
    );
    if (rows.length === 0) throw notFound(SNAPSHOT);
    return rows.map((row) => ({ ...row, id: Number(row.id), time: apiTime(row.time) }));
  }
}
