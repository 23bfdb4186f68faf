import { Check, Column, CreateDateColumn, Entity, ForeignKey, Index, PrimaryGeneratedColumn } from 'typeorm';
import type { ImageId, OrganizationId, RegionId } from '../../protocol/ids.js';
import type { ImageSpec } from '../../protocol/task.js';
import { Organization } from '../identity/organization.entity.js';
import { Snapshot } from '../snapshots/snapshot.entity.js';
import { Region } from './region.entity.js';

/**
 * Whether VMs can be made from it, and what it waits for otherwise; `ImageTransfer` says by when. `awaiting-upload`: its
 * owner shall send the file. `queued`: a compute node shall download it. `downloading`: one does.
 */
export const IMAGE_STATUSES = ['awaiting-upload', 'queued', 'downloading', 'available', 'error'] as const;
export type ImageStatus = (typeof IMAGE_STATUSES)[number];

/** What a VM's disk starts from. Without an organization it is public, with one it is private to that one. */
@Entity()
@Check('ck_image_status', `"status" IN ('awaiting-upload', 'queued', 'downloading', 'available', 'error')`)
@Check('ck_image_files', `"status" <> 'available' OR "files" IS NOT NULL`)
@Check('ck_image_problem', `("status" = 'error') = ("problem" IS NOT NULL)`)
@Index('idx_image_in_transfer', ['regionId'], {
  where: `"status" IN ('awaiting-upload', 'queued', 'downloading') AND "deleted_at" IS NULL`,
})
@Index('uq_image_public_name', ['regionId', 'name'], {
  unique: true,
  where: '"organization_id" IS NULL AND "deleted_at" IS NULL',
})
@Index('uq_image_snapshot', ['snapshotId'], { unique: true, where: '"deleted_at" IS NULL' })
@Index('uq_image_private_name', ['regionId', 'organizationId', 'name'], {
  unique: true,
  where: '"organization_id" IS NOT NULL AND "deleted_at" IS NULL',
})
export class Image {
  @PrimaryGeneratedColumn('identity', { type: 'int' })
  id: ImageId;

  @Column('int')
  @ForeignKey(() => Region)
  regionId: RegionId;

  @Column('int', { nullable: true })
  @ForeignKey(() => Organization, { onDelete: 'CASCADE' })
  organizationId: OrganizationId | null;

  @Column('text')
  name: string;

  /** What it was made of: only there, on the snapshot's node, is its disk, and it is deleted with it. */
  @Column('int', { nullable: true })
  @ForeignKey(() => Snapshot)
  snapshotId: number | null;

  @Column('text', { array: true, default: () => "'{}'" })
  labels: string[];

  /** The distribution, by which the API groups images: `Debian`, `Ubuntu`, … */
  @Column('text')
  type: string;

  @Column('text')
  version: string;

  @Column('text', { nullable: true })
  description: string | null;

  @Column('bigint', { transformer: { from: Number, to: (bytes: number) => bytes } })
  sizeBytes: number;

  @Column('text', { default: 'available' })
  status: ImageStatus;

  /** Why it is in `error`, in words for its owner. */
  @Column('text', { nullable: true })
  problem: string | null;

  /** GiB that the disk of a VM must have at least: what the image unpacks to, or more where its owner says so. */
  @Column('int', { default: 0 })
  minDiskGib: number;

  /** Where workers get the files from, and their checksums; known once it is available. */
  @Column('jsonb', { nullable: true })
  files: Omit<ImageSpec, 'name'> | null;

  @CreateDateColumn({ type: 'timestamptz' })
  createdAt: Date;

  /** The row outlives the image, because those of VMs made from it do. */
  @Column('timestamptz', { nullable: true })
  deletedAt: Date | null;
}
