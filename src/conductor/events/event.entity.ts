import { Column, Entity, ForeignKey, Index, PrimaryGeneratedColumn } from 'typeorm';
import type { OrganizationId, UserId, VmId } from '../../protocol/ids.js';
import { Organization } from '../identity/organization.entity.js';
import { UserAccount } from '../identity/user-account.entity.js';
import { Snapshot } from '../snapshots/snapshot.entity.js';
import { VirtualMachine } from '../virtual-machines/virtual-machine.entity.js';

/** Something that happened, written in the transaction that made it happen. */
@Entity()
@Index(['virtualMachineId', 'id'])
@Index('idx_event_snapshot', ['snapshotId', 'id'], { where: '"snapshot_id" IS NOT NULL' })
export class Event {
  @PrimaryGeneratedColumn('identity', { type: 'bigint' })
  id: string;

  @Column('int')
  @ForeignKey(() => Organization)
  organizationId: OrganizationId;

  @Column('int', { nullable: true })
  @ForeignKey(() => VirtualMachine)
  virtualMachineId: VmId | null;

  /** Where it happened to a snapshot; it is told of among the events of the VM too. */
  @Column('int', { nullable: true })
  @ForeignKey(() => Snapshot)
  snapshotId: number | null;

  /** Who did it; null when the cloud itself did. */
  @Column('int', { nullable: true })
  @ForeignKey(() => UserAccount)
  userId: UserId | null;

  @Column('timestamptz', { default: () => 'now()' })
  time: Date;

  /** `normal` or `warning`. */
  @Column('text', { default: 'normal' })
  type: string;

  /** Infrahub's event name, such as `InstanceCreationRequest`. */
  @Column('text')
  reason: string;

  /** Name of what it happened to. */
  @Column('text')
  object: string;

  @Column('text')
  message: string;
}
