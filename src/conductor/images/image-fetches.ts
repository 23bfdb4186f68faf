/**
 * Who downloads an image that was registered by URL, and what came of it.
 *
 * A node of the image's region takes it with a heartbeat and holds it by a lease that its news renew; a node that dies
 * loses it to the next one, which begins anew. Each lease is an attempt with a number, and news of any other attempt
 * change nothing: so an image that was deleted, given up or taken over is never brought back. A failure that may pass is
 * tried again after a pause that doubles, a few times; any other ends the image in `error`. Whatever happens, the
 * deadline ends it (`image-upkeep.ts`).
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { InjectConfig } from '../../config/config.module.js';
import type { Config } from '../../config/settings.js';
import type { ComputeNodeId, ImageId } from '../../protocol/ids.js';
import type { ImageChecksum, ImageNews, ImageOrder } from '../../protocol/image.js';

/** News come every second. */
const LEASE_SECONDS = 30;
const MOST_PER_NODE = 2;
const MOST_ATTEMPTS = 6;
const FIRST_PAUSE_SECONDS = 10;
const GIB = 2 ** 30;

interface OrderRow {
  readonly image_id: ImageId;
  readonly attempt: number;
  readonly url: string;
  readonly format: ImageOrder['format'];
  readonly checksum_algorithm: ImageChecksum['algorithm'];
  readonly checksum: string;
}

const ORDERS = `
  WITH own AS (
    SELECT t.* FROM image_transfer t JOIN image i ON i.id = t.image_id
     WHERE i.status = 'downloading' AND i.deleted_at IS NULL AND t.compute_node_id = $1 AND t.lease_until >= now()
  ), free AS (
    SELECT t.image_id
      FROM image i JOIN image_transfer t ON t.image_id = i.id JOIN compute_node n ON n.region_id = i.region_id
     WHERE n.id = $1 AND NOT n.draining AND i.status IN ('queued', 'downloading') AND i.deleted_at IS NULL
       AND (t.lease_until IS NULL OR t.lease_until < now()) AND (t.retry_at IS NULL OR t.retry_at <= now()) AND t.deadline_at > now()
     ORDER BY i.id LIMIT greatest(0, ${MOST_PER_NODE} - (SELECT count(*) FROM own)) FOR UPDATE OF i, t SKIP LOCKED
  ), leased AS (
    UPDATE image_transfer t
       SET compute_node_id = $1, lease_until = now() + make_interval(secs => ${LEASE_SECONDS}), attempt = t.attempt + 1,
           retry_at = NULL, bytes_done = 0, bytes_total = NULL
      FROM free WHERE t.image_id = free.image_id
    RETURNING t.*
  ), shown AS (
    UPDATE image i SET status = 'downloading' FROM leased WHERE i.id = leased.image_id
  )
  SELECT image_id, attempt, url, format, checksum_algorithm, checksum FROM own
  UNION ALL SELECT image_id, attempt, url, format, checksum_algorithm, checksum FROM leased`;

/** $1 image, $2 attempt, $3 node: the row, if it is still this node's to tell about. */
const STILL_ITS = `
  SELECT t.image_id FROM image_transfer t JOIN image i ON i.id = t.image_id
   WHERE t.image_id = $1 AND t.attempt = $2 AND t.compute_node_id = $3 AND i.status = 'downloading' AND i.deleted_at IS NULL
     FOR UPDATE OF i, t`;

const PROGRESS = `
  WITH mine AS (${STILL_ITS}), moved AS (
    UPDATE image_transfer t
       SET bytes_done = $4, bytes_total = $5, lease_until = now() + make_interval(secs => ${LEASE_SECONDS})
      FROM mine WHERE t.image_id = mine.image_id)
  SELECT image_id FROM mine`;

const AVAILABLE = `
  WITH mine AS (${STILL_ITS}), ended AS (
    UPDATE image_transfer t SET lease_until = NULL, bytes_done = $4, bytes_total = $4, last_problem = NULL
      FROM mine WHERE t.image_id = mine.image_id
    RETURNING t.*), available AS (
    UPDATE image i
       SET status = 'available', size_bytes = $4, min_disk_gib = greatest(i.min_disk_gib, $6),
           files = jsonb_build_object('disk', jsonb_build_object('url', t.url, 'sha256', CASE t.checksum_algorithm WHEN 'sha256' THEN t.checksum ELSE $5::text END,
                                                              'format', t.format))
      FROM ended t WHERE i.id = t.image_id)
  SELECT image_id FROM mine`;

const FAILED = `
  WITH mine AS (${STILL_ITS}), ended AS (
    UPDATE image_transfer t
       SET lease_until = NULL, last_problem = $4,
           retry_at = now() + make_interval(secs => ${FIRST_PAUSE_SECONDS} * power(2, t.attempt - 1))
      FROM mine WHERE t.image_id = mine.image_id
    RETURNING t.*), shown AS (
    UPDATE image i
       SET status = CASE WHEN $5 AND t.attempt < ${MOST_ATTEMPTS} THEN 'queued' ELSE 'error' END,
           problem = CASE WHEN $5 AND t.attempt < ${MOST_ATTEMPTS} THEN NULL ELSE $4 END
      FROM ended t WHERE i.id = t.image_id)
  SELECT image_id FROM mine`;

@Injectable()
export class ImageFetches {
  constructor(
    private readonly dataSource: DataSource,
    @InjectConfig() private readonly config: Config,
  ) {}

  /** What the node shall download: what it has in hand, and more where there is more. */
  async askedOf(nodeId: ComputeNodeId): Promise<ImageOrder[]> {
    const rows = await this.dataSource.query<OrderRow[]>(ORDERS, [nodeId]);
    return rows.map((row) => ({
      imageId: row.image_id,
      attempt: row.attempt,
      url: row.url,
      format: row.format,
      checksum: { algorithm: row.checksum_algorithm, digest: row.checksum },
      mostBytes: this.config.imageMaxGib * GIB,
      mostVirtualBytes: this.config.imageMaxDiskGib * GIB,
    }));
  }

  /** @returns the images that are no longer this node's to download. */
  async accept(nodeId: ComputeNodeId, news: readonly ImageNews[]): Promise<ImageId[]> {
    const stop: ImageId[] = [];
    for (const item of news) if (!(await this.take(nodeId, item))) stop.push(item.imageId);
    return stop;
  }

  private async take(nodeId: ComputeNodeId, news: ImageNews): Promise<boolean> {
    const about = [news.imageId, news.attempt, nodeId];
    const run = async (statement: string, ...parameters: unknown[]): Promise<boolean> =>
      (await this.dataSource.query<unknown[]>(statement, [...about, ...parameters])).length > 0;
    switch (news.state) {
      case 'downloading':
        return await run(PROGRESS, news.bytes, news.totalBytes ?? null);
      case 'checked':
        return await run(AVAILABLE, news.bytes, news.sha256, Math.ceil(news.virtualBytes / GIB));
      case 'failed':
        return await run(FAILED, news.reason, news.retryable);
    }
  }
}
