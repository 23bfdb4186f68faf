/**
 * Takes note of an image that an organization wants to have: its row, and how its file shall come. Nothing is fetched
 * here; a node does that (`image-fetches.ts`), or its owner sends it (`image-uploads.ts`).
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { InjectConfig } from '../../config/config.module.js';
import type { Config } from '../../config/settings.js';
import type { ImageId, RegionId } from '../../protocol/ids.js';
import type { ImageChecksum } from '../../protocol/image.js';
import { change } from '../audit/change.js';
import type { ImageFields } from '../catalog/image.responses.js';
import { ImagesService } from '../catalog/images.service.js';
import { violatedUnique } from '../database/database-error.js';
import { EgressPolicy } from '../egress/egress-policy.js';
import { alreadyExists, ApiError, notFound } from '../http/api-error.js';
import type { Principal } from '../identity/principal.js';
import type { RegisterImagePayload } from './image.requests.js';

/** Of the lock under which an organization's images are counted. */
const COUNTING = 1;

@Injectable()
export class ImageRegistration {
  constructor(
    private readonly dataSource: DataSource,
    private readonly egress: EgressPolicy,
    private readonly images: ImagesService,
    @InjectConfig() private readonly config: Config,
  ) {}

  async register(principal: Principal, payload: RegisterImagePayload): Promise<ImageFields> {
    const { url } = payload;
    if (url !== undefined) this.egress.checkUrl(url);
    const checksum = payload.checksum === undefined ? undefined : checksumOf(payload.checksum);
    const [region] = await this.dataSource.query<{ id: RegionId }[]>('SELECT id FROM region WHERE name = $1', [payload.region_name]);
    if (region === undefined) throw notFound(`The region ${JSON.stringify(payload.region_name)}`);
    try {
      const id = await this.insert(principal, region.id, payload, checksum);
      return await this.images.get(principal.organizationId, id);
    } catch (error) {
      if (violatedUnique(error) !== 'uq_image_private_name') throw error;
      throw alreadyExists(`You have an image '${payload.name}' in region ${payload.region_name}. Choose another name, or delete it first.`);
    }
  }

  private insert(principal: Principal, regionId: RegionId, payload: RegisterImagePayload, checksum: ImageChecksum | undefined): Promise<ImageId> {
    const { organizationId } = principal;
    const { name, type = 'Custom', version = '', description = null, minimum_disk = 0, labels = [], url = null, format } = payload;
    return change(this.dataSource, principal, async (transaction, concerns) => {
      // Two requests for the last one that may be: the second counts the first.
      await transaction.query('SELECT pg_advisory_xact_lock($1, $2)', [COUNTING, organizationId]);
      const [{ count }] = await transaction.query<[{ count: number }]>(
        'SELECT count(*)::int AS count FROM image WHERE organization_id = $1 AND deleted_at IS NULL',
        [organizationId],
      );
      const most = this.config.imagesPerOrganization;
      if (count >= most)
        throw new ApiError(
          403,
          `Your organization has ${count} images, and may have ${most}. Delete one, or ask the operator for more (BATON_IMAGES_PER_ORGANIZATION).`,
          'quota_exceeded',
        );
      const [{ id }] = await transaction.query<[{ id: ImageId }]>(
        `INSERT INTO image (organization_id, region_id, name, type, version, description, size_bytes, status, min_disk_gib, labels)
         VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8, $9) RETURNING id`,
        [organizationId, regionId, name, type, version, description, url === null ? 'awaiting-upload' : 'queued', minimum_disk, labels],
      );
      await transaction.query(
        `INSERT INTO image_transfer (image_id, source, url, format, checksum_algorithm, checksum, deadline_at)
         VALUES ($1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7))`,
        [id, url === null ? 'upload' : 'url', url, format, checksum?.algorithm ?? null, checksum?.digest ?? null, this.config.imageDeadlineSeconds],
      );
      concerns(id);
      return id;
    });
  }
}

/** The length of a digest says by which algorithm it was made. */
function checksumOf(text: string): ImageChecksum {
  const digest = text.toLowerCase().replace(/^sha\d+:/, '');
  return { algorithm: digest.length === 64 ? 'sha256' : 'sha512', digest };
}
