import { Column, CreateDateColumn, Entity, ForeignKey, Index, PrimaryGeneratedColumn } from 'typeorm';
import type { OrganizationId, RegionId } from '../../protocol/ids.js';
import type { ImageSpec } from '../../protocol/task.js';
import { Organization } from '../identity/organization.entity.js';
import { Region } from './region.entity.js';

/** What a VM's disk starts from. Without an organization it is public. */
@Entity()
@Index('uq_image_public_name', ['regionId', 'name'], {
  unique: true,
  where: '"organization_id" IS NULL AND "deleted_at" IS NULL',
})
@Index('uq_image_private_name', ['regionId', 'organizationId', 'name'], {
  unique: true,
  where: '"organization_id" IS NOT NULL AND "deleted_at" IS NULL',
})
export class Image {
  @PrimaryGeneratedColumn('identity', { type: 'int' })
  id: number;

  @Column('int')
  @ForeignKey(() => Region)
  regionId: RegionId;

  @Column('int', { nullable: true })
  @ForeignKey(() => Organization, { onDelete: 'CASCADE' })
  organizationId: OrganizationId | null;

  @Column('text')
  name: string;

  /** The distribution, by which the API groups images: `Debian`, `Ubuntu`, … */
  @Column('text')
  type: string;

  @Column('text')
  version: string;

  @Column('text', { nullable: true })
  description: string | null;

  @Column('bigint', { transformer: { from: Number, to: (bytes: number) => bytes } })
  sizeBytes: number;

  /** Where workers get the files from, and their checksums. */
  @Column('jsonb')
  files: Omit<ImageSpec, 'name'>;

  @CreateDateColumn({ type: 'timestamptz' })
  createdAt: Date;

  /** The row outlives the image, because those of VMs made from it do. */
  @Column('timestamptz', { nullable: true })
  deletedAt: Date | null;
}
