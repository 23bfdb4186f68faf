import { Check, Column, Entity, ForeignKey, Index, PrimaryGeneratedColumn, Unique } from 'typeorm';
import type { ComputeNodeId, EnvironmentId, OrganizationId, SnapshotUuid, UserId, VmId } from '../../protocol/ids.js';
import { Flavor } from '../catalog/flavor.entity.js';
import { Environment } from '../environments/environment.entity.js';
import { ComputeNode } from '../fleet/compute-node.entity.js';
import { Organization } from '../identity/organization.entity.js';
import { UserAccount } from '../identity/user-account.entity.js';
import { VirtualMachine } from '../virtual-machines/virtual-machine.entity.js';
import type { SnapshotState } from './snapshot-status.js';

/**
 * A copy of a VM's root disk as it was at one moment, on the node of that VM, which it outlives. Its name is free again
 * as soon as it is to be deleted. The row outlives the snapshot, for its events and those of VMs made of it.
 */
@Entity()
@Unique(['uuid'])
@Index('uq_snapshot_name', ['organizationId', 'name'], { unique: true, where: '"removal_requested_at" IS NULL' })
@Index('uq_snapshot_creating', ['virtualMachineId'], { unique: true, where: `"state" = 'CREATING'` })
@Index('idx_snapshot_live', ['organizationId', 'id'], { where: '"deleted_at" IS NULL' })
@Index('idx_snapshot_removal', ['computeNodeId'], { where: '"removal_requested_at" IS NOT NULL AND "deleted_at" IS NULL' })
@Check('ck_snapshot_deadline', `("state" = 'CREATING') = ("deadline_at" IS NOT NULL)`)
@Check('ck_snapshot_claim', '"claimed_gib" >= 0 AND ("deleted_at" IS NULL OR "claimed_gib" = 0)')
export class Snapshot {
  @PrimaryGeneratedColumn('identity', { type: 'int' })
  id: number;

  /** Names its file on the node. */
  @Column('uuid')
  uuid: SnapshotUuid;

  @Column('int')
  @ForeignKey(() => Organization)
  organizationId: OrganizationId;

  @Column('int')
  @ForeignKey(() => Environment)
  environmentId: EnvironmentId;

  @Column('int')
  @ForeignKey(() => UserAccount)
  userId: UserId;

  /** Whose disk it is. The VM may be gone; its row is not. */
  @Column('int')
  @ForeignKey(() => VirtualMachine)
  virtualMachineId: VmId;

  /** Where its file is, and where VMs can be made of it. */
  @Column('int')
  @ForeignKey(() => ComputeNode)
  computeNodeId: ComputeNodeId;

  /** Of the VM at that time: what is restored gets the same. */
  @Column('int')
  @ForeignKey(() => Flavor)
  flavorId: number;

  @Column('text')
  name: string;

  @Column('text')
  description: string;

  @Column('text', { array: true })
  labels: string[];

  @Column('boolean')
  hasFloatingIp: boolean;

  @Column('text')
  state: SnapshotState;

  /** Of the VM, that carries the wish. */
  @Column('int')
  generation: number;

  /** Of the disk. */
  @Column('int')
  sizeGib: number;

  /** What it claims on the node's disk: all that the copy may take while it is made, then what it takes. */
  @Column('int')
  claimedGib: number;

  /** What the copy takes; known when it is there. */
  @Column('bigint', { nullable: true, transformer: { from: (bytes: string | null) => (bytes === null ? null : Number(bytes)), to: (bytes: number | null) => bytes } })
  sizeBytes: number | null;

  /** Why it is in ERROR, in words fit for its owner. */
  @Column('text', { nullable: true })
  fault: string | null;

  /** When one that is still being made is given up. */
  @Column('timestamptz', { nullable: true })
  deadlineAt: Date | null;

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
