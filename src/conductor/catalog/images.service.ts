/**
 * Reads images: the public ones and those of the caller's organization; another's are as good as missing. Deletes
 * only the organization's own, and softly, because VMs made from an image still name it.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { changeRows } from '../audit/change.js';
import type { OrganizationId } from '../../protocol/ids.js';
import { ApiError, badRequest, notFound } from '../http/api-error.js';
import { NameAvailability } from '../http/name-availability.js';
import { containing } from '../http/page-query.js';
import { PLAIN_TEXT } from '../http/plain-text.js';
import { imagePageOf, type ImageSearch } from './image.requests.js';
import { imageFields, type ImageFields, type ImageGroup, type ImageRow } from './image.responses.js';
import { knownRegion } from './region-filter.js';
import type { Principal } from '../identity/principal.js';

const COLUMNS = `i.id, i.organization_id, i.name, i.type, i.version, i.description, i.size_bytes, i.labels, i.created_at,
  r.name AS region_name, r.green_status, i.status, i.problem, i.min_disk_gib,
  (SELECT to_jsonb(t) || jsonb_build_object('node', n.name)
     FROM image_transfer t LEFT JOIN compute_node n ON n.id = t.compute_node_id WHERE t.image_id = i.id) AS transfer`;

const VISIBLE = 'i.deleted_at IS NULL AND (i.organization_id IS NULL OR i.organization_id = $1)';

const MAX_NAME_LENGTH = 50;

@Injectable()
export class ImagesService {
  constructor(private readonly dataSource: DataSource) {}

  /** One group for each type of image in each region. */
  async list(organizationId: OrganizationId, query: ImageSearch): Promise<ImageGroup[]> {
    const region = await knownRegion(this.dataSource, query.region);
    const page = imagePageOf(query);
    const rows = await this.dataSource.query<ImageRow[]>(
      `SELECT ${COLUMNS} FROM image i JOIN region r ON r.id = i.region_id
        WHERE ${VISIBLE}
          AND ($2::boolean OR i.organization_id IS NOT NULL)
          AND ($3::text IS NULL OR r.name = $3)
          AND ($4::text IS NULL OR i.name ILIKE $4)
        ORDER BY r.name, i.type, i.name, i.id
        LIMIT $5 OFFSET $6`,
      [
        organizationId,
        query.include_public,
        region ?? null,
        query.search === undefined ? null : containing(query.search),
        page?.pageSize ?? null,
        page === undefined ? 0 : (page.page - 1) * page.pageSize,
      ],
    );
    const groups = new Map<string, ImageGroup>();
    for (const row of rows) {
      const { region_name, type, green_status } = row;
      const key = JSON.stringify([region_name, type]);
      const group = groups.get(key) ?? { region_name, type, logo: '', green_status, images: [] };
      groups.set(key, group);
      group.images.push(imageFields(row));
    }
    return [...groups.values()];
  }

  async get(organizationId: OrganizationId, id: number): Promise<ImageFields> {
    const [row] = await this.dataSource.query<ImageRow[]>(
      `SELECT ${COLUMNS} FROM image i JOIN region r ON r.id = i.region_id WHERE ${VISIBLE} AND i.id = $2`,
      [organizationId, id],
    );
    if (row === undefined) throw notFound('The image');
    return imageFields(row);
  }

  async delete(principal: Principal, id: number): Promise<void> {
    const { organizationId } = principal;
    const deleted = await changeRows(
      this.dataSource,
      principal,
      `WITH gone AS (
         UPDATE image SET deleted_at = now() WHERE organization_id = $1 AND id = $2 AND deleted_at IS NULL RETURNING id)
       SELECT id FROM gone`,
      [organizationId, id],
    );
    if (deleted.length > 0) return;
    const { name } = await this.get(organizationId, id);
    throw new ApiError(403, `The image '${name}' is public: only the operator can delete it.`);
  }

  async nameAvailability(organizationId: OrganizationId, name: string): Promise<NameAvailability> {
    if (name.length > MAX_NAME_LENGTH || !PLAIN_TEXT.test(name) || /[/\\]/.test(name))
      throw badRequest(`The name must have 1 to ${MAX_NAME_LENGTH} printable characters, without slashes.`);
    const taken = await this.dataSource.query<unknown[]>(
      `SELECT 1 FROM image i WHERE ${VISIBLE} AND i.name = $2 LIMIT 1`,
      [organizationId, name],
    );
    return new NameAvailability(name, taken.length > 0 ? `There is already an image '${name}'` : undefined);
  }
}
