import { Check, Column, Entity, ForeignKey, Index, PrimaryGeneratedColumn } from 'typeorm';
import type { VmId } from '../../protocol/ids.js';
import { VirtualMachine } from '../virtual-machines/virtual-machine.entity.js';
import { Volume } from './volume.entity.js';

export type AttachmentStatus = 'ATTACHING' | 'ATTACHED' | 'DETACHING' | 'DETACHED';

/**
 * One time that a volume was with a VM. ATTACHING and DETACHING are what was asked for, written by the API with the
 * generation that carries the wish; ATTACHED and DETACHED are what the worker reported of that generation or a later
 * one. A volume has at most one attachment that is not DETACHED: that decides the race of two VMs for it.
 */
@Entity()
@Index('uq_volume_attachment_live', ['volumeId'], { unique: true, where: `"status" <> 'DETACHED'` })
@Index('uq_volume_attachment_root', ['virtualMachineId'], { unique: true, where: `"root" AND "status" <> 'DETACHED'` })
@Index('idx_volume_attachment_vm', ['virtualMachineId'], { where: `"status" <> 'DETACHED'` })
@Index(['volumeId'])
@Check('ck_volume_attachment_end', `("status" = 'DETACHED') = ("detached_at" IS NOT NULL)`)
export class VolumeAttachment {
  @PrimaryGeneratedColumn('identity', { type: 'int' })
  id: number;

  @Column('int')
  @ForeignKey(() => Volume)
  volumeId: number;

  @Column('int')
  @ForeignKey(() => VirtualMachine)
  virtualMachineId: VmId;

  /** It may not be detached, until this is taken back. */
  @Column('boolean')
  protected: boolean;

  /** The VM boots from it: it is detached only by the VM's end. */
  @Column('boolean', { default: false })
  root: boolean;

  @Column('text')
  status: AttachmentStatus;

  /** Of the VM, that carries the last wish about this attachment. */
  @Column('int')
  generation: number;

  @Column('timestamptz', { default: () => 'now()' })
  createdAt: Date;

  @Column('timestamptz', { nullable: true })
  detachedAt: Date | null;
}
