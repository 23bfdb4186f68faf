import { Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import type { OrganizationId, VmId } from '../../protocol/ids.js';
import { Organization } from '../identity/organization.entity.js';
import { VirtualMachine } from '../virtual-machines/virtual-machine.entity.js';
import { Volume } from '../volumes/volume.entity.js';

/** pending → delivered | failed (given up after the last attempt). */
export type DeliveryState = 'pending' | 'delivered' | 'failed';

/** One webhook: inserted with the status change it tells of, delivered later; the log of how that went. */
@Entity()
@Index('idx_callback_delivery_pending', ['availableAt'], { where: `"state" = 'pending'` })
@Index('idx_callback_delivery_vm', ['virtualMachineId'])
@Index('idx_callback_delivery_volume', ['volumeId'], { where: '"volume_id" IS NOT NULL' })
export class CallbackDelivery {
  /** Also the `webhook-id` by which a receiver recognizes a repetition. */
  @PrimaryColumn('uuid')
  id: string;

  @Column('int')
  @ForeignKey(() => Organization)
  organizationId: OrganizationId;

  /** What it tells of: a VM or a volume; neither when it is a repository of desired state. */
  @Column('int', { nullable: true })
  @ForeignKey(() => VirtualMachine)
  virtualMachineId: VmId | null;

  @Column('int', { nullable: true })
  @ForeignKey(() => Volume)
  volumeId: number | null;

  @Column('text')
  url: string;

  /** The exact bytes that are signed and sent. */
  @Column('text')
  body: string;

  @Column('text', { default: 'pending' })
  state: DeliveryState;

  @Column('int', { default: 0 })
  attempts: number;

  /** Next attempt; while a deliverer holds the row, its lease's end. */
  @Column('timestamptz', { default: () => 'now()' })
  availableAt: Date;

  @Column('int', { nullable: true })
  responseStatus: number | null;

  @Column('text', { nullable: true })
  lastError: string | null;

  @Column('timestamptz', { default: () => 'now()' })
  createdAt: Date;

  @Column('timestamptz', { nullable: true })
  finishedAt: Date | null;
}
