import { Column, CreateDateColumn, Entity, ForeignKey, Index, PrimaryGeneratedColumn, Unique } from 'typeorm';
import type { VmId } from '../../protocol/ids.js';
import { VirtualMachine } from '../virtual-machines/virtual-machine.entity.js';
import { Firewall } from './firewall.entity.js';

/** A firewall's rules hold for a VM. Of a VM that was deleted the row may stay; it counts no more. */
@Entity()
@Unique(['firewallId', 'virtualMachineId'])
@Index('idx_firewall_attachment_vm', ['virtualMachineId'])
export class FirewallAttachment {
  @PrimaryGeneratedColumn('identity', { type: 'int' })
  id: number;

  @Column('int')
  @ForeignKey(() => Firewall, { onDelete: 'CASCADE' })
  firewallId: number;

  @Column('int')
  @ForeignKey(() => VirtualMachine, { onDelete: 'CASCADE' })
  virtualMachineId: VmId;

  /** The VM's generation that has the firewall's rules as they are now. */
  @Column('int')
  generation: number;

  @CreateDateColumn({ type: 'timestamptz' })
  createdAt: Date;
}
