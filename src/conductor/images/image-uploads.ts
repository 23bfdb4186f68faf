/**
 * Takes the file of an image from its owner, as a stream that is never held in memory, looks at it and keeps it.
 *
 * One upload of an image at a time: it holds the transfer by a lease, as a node does that downloads. What is refused
 * leaves nothing behind, and the image waits for another try until its deadline.
 */
import { Injectable, Logger } from '@nestjs/common';
import { createHash, randomUUID, type Hash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { DataSource } from 'typeorm';
import { InjectConfig } from '../../config/config.module.js';
import type { Config } from '../../config/settings.js';
import { gibibytesOf, ImageRefusedError, inspectDiskImage, type DiskImage } from '../../image-format/disk-image.js';
import type { ImageId, OrganizationId } from '../../protocol/ids.js';
import type { ImageChecksum } from '../../protocol/image.js';
import { changeRows } from '../audit/change.js';
import type { ImageFields } from '../catalog/image.responses.js';
import { ImagesService } from '../catalog/images.service.js';
import { ApiError, badRequest } from '../http/api-error.js';
import type { Principal } from '../identity/principal.js';
import { ImageStore, uploadUrl } from './image-store.js';

const LEASE_SECONDS = 60;
const RENEW_MS = 5_000;
const LOOK_FOR_ROOM_BYTES = 64 * 1024 * 1024;
const SILENCE_MS = 30_000;
const GIB = 2 ** 30;

interface Transfer {
  readonly image_id: ImageId;
  readonly attempt: number;
  readonly format: 'qcow2' | 'raw';
  readonly checksum_algorithm: ImageChecksum['algorithm'] | null;
  readonly checksum: string | null;
  /** Milliseconds until the deadline. */
  readonly left_ms: number;
}

interface Received {
  readonly bytes: number;
  readonly sha256: string;
  readonly declared: string | undefined;
}

const BEGIN = `
  WITH begun AS (
    UPDATE image_transfer t
       SET attempt = t.attempt + 1, lease_until = now() + make_interval(secs => ${LEASE_SECONDS}), bytes_done = 0, bytes_total = $3
      FROM image i
     WHERE i.id = t.image_id AND i.id = $2 AND i.organization_id = $1 AND i.deleted_at IS NULL AND i.status = 'awaiting-upload'
       AND (t.lease_until IS NULL OR t.lease_until < now()) AND t.deadline_at > now()
    RETURNING t.image_id, t.attempt, t.format, t.checksum_algorithm, t.checksum,
              ceil(extract(epoch FROM t.deadline_at - now()) * 1000)::float AS left_ms)
  SELECT * FROM begun`;

const FINISH = `
  WITH ended AS (
    UPDATE image_transfer t SET lease_until = NULL, bytes_done = $3, bytes_total = $3, last_problem = NULL
      FROM image i
     WHERE t.image_id = $1 AND t.attempt = $2 AND i.id = t.image_id AND i.status = 'awaiting-upload' AND i.deleted_at IS NULL
    RETURNING t.image_id, t.format), available AS (
    UPDATE image i
       SET status = 'available', size_bytes = $3, min_disk_gib = greatest(i.min_disk_gib, $4),
           files = jsonb_build_object('disk', jsonb_build_object('url', $5::text, 'sha256', $6::text, 'format', t.format))
      FROM ended t WHERE i.id = t.image_id)
  SELECT image_id AS id FROM ended`;

@Injectable()
export class ImageUploads {
  private readonly logger = new Logger(ImageUploads.name);

  constructor(
    private readonly dataSource: DataSource,
    private readonly images: ImagesService,
    private readonly store: ImageStore,
    @InjectConfig() private readonly config: Config,
  ) {}

  /** @param announcedBytes of the whole file, where the client said. */
  async receive(principal: Principal, id: ImageId, content: Readable, announcedBytes: number | undefined): Promise<ImageFields> {
    const mostBytes = this.config.imageMaxGib * GIB;
    if ((announcedBytes ?? 0) > mostBytes) throw this.tooLarge();
    const transfer = await this.begin(principal.organizationId, id, announcedBytes);
    const name = randomUUID();
    try {
      const path = await this.store.partialPath(name);
      if (!(await this.store.hasRoomFor(announcedBytes ?? 0))) throw noRoom();
      const received = await this.write(transfer, content, path);
      if (received.declared !== (transfer.checksum ?? undefined))
        throw badRequest(`The file's ${transfer.checksum_algorithm} is ${received.declared}, but ${transfer.checksum} was expected. Upload it again.`);
      const disk = await this.inspect(path, transfer);
      await this.store.keep(name);
      await this.finish(principal, transfer, name, received, disk);
      return await this.images.get(principal.organizationId, id);
    } catch (error) {
      await this.store.remove(name);
      await this.release(transfer);
      throw explained(error);
    }
  }

  private async begin(organizationId: OrganizationId, id: ImageId, announcedBytes: number | undefined): Promise<Transfer> {
    const [transfer] = await this.dataSource.query<Transfer[]>(BEGIN, [organizationId, id, announcedBytes ?? null]);
    if (transfer !== undefined) return transfer;
    const { name, status, is_public } = await this.images.get(organizationId, id);
    if (is_public) throw new ApiError(403, `The image '${name}' is public: only the operator can change it.`);
    throw new ApiError(
      409,
      status === 'awaiting-upload'
        ? `The file of the image '${name}' is being uploaded by another request, or its deadline has passed.`
        : `The image '${name}' takes no file: its status is ${status}. Register another one, without a url.`,
      'conflict',
    );
  }

  private async write(transfer: Transfer, content: Readable, path: string): Promise<Received> {
    const mostBytes = this.config.imageMaxGib * GIB;
    const sha256 = createHash('sha256');
    const other: Hash | undefined = transfer.checksum_algorithm === 'sha512' ? createHash('sha512') : undefined;
    let bytes = 0;
    let roomSeenAt = 0;
    const { store } = this;
    const silence = new AbortController();
    const hush = setTimeout(() => silence.abort(), SILENCE_MS);
    const renewal = setInterval(() => void this.renew(transfer, bytes), RENEW_MS);
    const tooLarge = this.tooLarge();
    try {
      await pipeline(
        content,
        async function* (chunks: AsyncIterable<Buffer>) {
          for await (const chunk of chunks) {
            bytes += chunk.byteLength;
            if (bytes > mostBytes) throw tooLarge;
            // Its length may not have been announced, and others upload as well.
            if (bytes - roomSeenAt > LOOK_FOR_ROOM_BYTES) {
              if (!(await store.hasRoomFor(0))) throw noRoom();
              roomSeenAt = bytes;
            }
            hush.refresh();
            sha256.update(chunk);
            other?.update(chunk);
            yield chunk;
          }
        },
        createWriteStream(path, { mode: 0o644, flush: true }),
        { signal: AbortSignal.any([silence.signal, AbortSignal.timeout(Math.min(transfer.left_ms, 2 ** 31 - 1))]) },
      );
    } finally {
      clearTimeout(hush);
      clearInterval(renewal);
    }
    const digest = sha256.digest('hex');
    const declared = transfer.checksum_algorithm === null ? undefined : (other?.digest('hex') ?? digest);
    return { bytes, sha256: digest, declared };
  }

  private async inspect(path: string, { format }: Transfer): Promise<DiskImage> {
    return await inspectDiskImage(path, format, this.config.imageMaxDiskGib * GIB);
  }

  private async finish(principal: Principal, transfer: Transfer, name: string, { bytes, sha256 }: Received, disk: DiskImage): Promise<void> {
    const parameters = [transfer.image_id, transfer.attempt, bytes, gibibytesOf(disk), uploadUrl(name), sha256];
    const kept = await changeRows(this.dataSource, principal, FINISH, parameters);
    if (kept.length === 0) throw new ApiError(409, 'The image was deleted or given up while its file was uploaded.', 'conflict');
  }

  private async renew({ image_id, attempt }: Transfer, bytes: number): Promise<void> {
    await this.dataSource
      .query(
        `UPDATE image_transfer SET bytes_done = $3, lease_until = now() + make_interval(secs => ${LEASE_SECONDS})
          WHERE image_id = $1 AND attempt = $2`,
        [image_id, attempt, bytes],
      )
      .catch((error: Error) => this.logger.warn(`The progress of an upload was not written: ${error.message}`));
  }

  /** Another try need not wait for the lease to end. */
  private async release({ image_id, attempt }: Transfer): Promise<void> {
    await this.dataSource
      .query('UPDATE image_transfer SET lease_until = NULL, bytes_done = 0, bytes_total = NULL WHERE image_id = $1 AND attempt = $2', [
        image_id,
        attempt,
      ])
      .catch((error: Error) => this.logger.warn(`An upload's lease was not ended, it ends by itself: ${error.message}`));
  }

  private tooLarge(): ApiError {
    return new ApiError(413, `The file of an image may have at most ${this.config.imageMaxGib} GiB.`);
  }
}

const noRoom = (): ApiError => new ApiError(503, 'The image store has no room for this file. Ask the operator.', undefined, 600);

function explained(error: unknown): unknown {
  if (error instanceof ImageRefusedError) return badRequest(`The image is refused: ${error.message}.`);
  const { name, code } = error as { name?: unknown; code?: unknown };
  if (code === 'ENOSPC') return noRoom();
  if (name === 'AbortError' || name === 'TimeoutError') return badRequest(`The upload was given up: nothing came for ${SILENCE_MS / 1000} s, or the deadline has passed.`);
  // The client is gone and reads no answer; for the log it is no defect of ours.
  if (code === 'ECONNRESET' || code === 'ERR_STREAM_PREMATURE_CLOSE') return badRequest('The upload ended before all of it was sent.');
  return error;
}
