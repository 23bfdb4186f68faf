import { Check, Column, Entity, ForeignKey, PrimaryColumn } from 'typeorm';
import type { ComputeNodeId, ImageId } from '../../protocol/ids.js';
import { ComputeNode } from '../fleet/compute-node.entity.js';
import { Image } from './image.entity.js';

/**
 * How an image's file comes to the cloud: from where, in what form, by when at the latest, and how far it is. Beside the
 * image, so that the progress of a download rewrites no row that the creation of VMs reads. It stays, as the record of
 * where the image came from.
 */
@Entity()
@Check('ck_image_transfer_source', `("source" = 'url') = ("url" IS NOT NULL)`)
@Check('ck_image_transfer_checksum', `("checksum_algorithm" IS NULL) = ("checksum" IS NULL)`)
export class ImageTransfer {
  @PrimaryColumn('int')
  @ForeignKey(() => Image, { onDelete: 'CASCADE' })
  imageId: ImageId;

  @Column('text')
  source: 'url' | 'upload';

  @Column('text', { nullable: true })
  url: string | null;

  @Column('text')
  format: 'qcow2' | 'raw';

  @Column('text', { nullable: true })
  checksumAlgorithm: 'sha256' | 'sha512' | null;

  /** Hex digest of the whole file, as its owner gave it. */
  @Column('text', { nullable: true })
  checksum: string | null;

  /** When an image that is not available by then is given up. */
  @Column('timestamptz')
  deadlineAt: Date;

  /** The node that downloads it, until `leaseUntil`; then another one may. */
  @Column('int', { nullable: true })
  @ForeignKey(() => ComputeNode)
  computeNodeId: ComputeNodeId | null;

  @Column('timestamptz', { nullable: true })
  leaseUntil: Date | null;

  /** Raised with each lease: news of an earlier one is refused. */
  @Column('int', { default: 0 })
  attempt: number;

  /** After a failure that may pass. */
  @Column('timestamptz', { nullable: true })
  retryAt: Date | null;

  /** What went wrong with the last attempt, while it is tried again. */
  @Column('text', { nullable: true })
  lastProblem: string | null;

  @Column('bigint', { default: 0, transformer: { from: Number, to: (bytes: number) => bytes } })
  bytesDone: number;

  @Column('bigint', { nullable: true, transformer: { from: (bytes: string | null) => bytes && Number(bytes), to: (bytes: number | null) => bytes } })
  bytesTotal: number | null;
}
