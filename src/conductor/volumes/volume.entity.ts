import { Check, Column, Entity, ForeignKey, Index, PrimaryGeneratedColumn, Unique } from 'typeorm';
import type { ComputeNodeId, EnvironmentId, OrganizationId, UserId, VolumeUuid } from '../../protocol/ids.js';
import { Image } from '../catalog/image.entity.js';
import { Environment } from '../environments/environment.entity.js';
import { ComputeNode } from '../fleet/compute-node.entity.js';
import { Organization } from '../identity/organization.entity.js';
import { UserAccount } from '../identity/user-account.entity.js';

/**
 * A disk that outlives virtual machines. An empty one is bound to the node of the VM that it is first attached to, one
 * made of an image to the node that makes it: from then on its size is claimed there and its file is there. Its status
 * is derived from its attachment, from whether it is made, and from whether it shall go (see `volume-view.ts`). The row
 * outlives the volume.
 */
@Entity()
@Unique(['uuid'])
@Index('uq_volume_name', ['environmentId', 'name'], { unique: true, where: '"deleted_at" IS NULL' })
@Index('idx_volume_live', ['organizationId', 'id'], { where: '"deleted_at" IS NULL' })
@Index('idx_volume_removal', ['computeNodeId'], { where: '"removal_requested_at" IS NOT NULL AND "deleted_at" IS NULL' })
@Index('idx_volume_preparation', ['computeNodeId'], {
  where: '"image_id" IS NOT NULL AND "prepared_at" IS NULL AND "fault" IS NULL AND "removal_requested_at" IS NULL',
})
@Check('ck_volume_image_has_place', '"image_id" IS NULL OR "compute_node_id" IS NOT NULL')
@Check('ck_volume_size', '"size_gib" BETWEEN 1 AND 1048576')
export class Volume {
  @PrimaryGeneratedColumn('identity', { type: 'int' })
  id: number;

  /** Names its file on the node; its first twenty characters are the serial number that the guest sees. */
  @Column('uuid')
  uuid: VolumeUuid;

  @Column('int')
  @ForeignKey(() => Organization)
  organizationId: OrganizationId;

  @Column('int')
  @ForeignKey(() => Environment)
  environmentId: EnvironmentId;

  @Column('int')
  @ForeignKey(() => UserAccount)
  userId: UserId;

  @Column('text')
  name: string;

  @Column('text')
  description: string;

  @Column('int')
  sizeGib: number;

  @Column('text')
  volumeType: string;

  @Column('text', { nullable: true })
  callbackUrl: string | null;

  /** What it was made of, and what a VM can boot from it; null for one that began empty. */
  @Column('int', { nullable: true })
  @ForeignKey(() => Image)
  imageId: number | null;

  /** When its file was first known to be on its node: made of its image, or with a VM. From then on it is never made again. */
  @Column('timestamptz', { nullable: true })
  preparedAt: Date | null;

  /** Why its node could not make it, in words fit for its owner. */
  @Column('text', { nullable: true })
  fault: string | null;

  /** Where its file is and its size is claimed; null for an empty one until it is first attached. */
  @Column('int', { nullable: true })
  @ForeignKey(() => ComputeNode)
  computeNodeId: ComputeNodeId | null;

  @Column('timestamptz', { default: () => 'now()' })
  createdAt: Date;

  @Column('timestamptz', { default: () => 'now()' })
  updatedAt: Date;

  /** Its owner has deleted it, and its node is asked to remove the file. */
  @Column('timestamptz', { nullable: true })
  removalRequestedAt: Date | null;

  /** The file is gone and the claim released. */
  @Column('timestamptz', { nullable: true })
  deletedAt: Date | null;
}
