import { Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import type { VmId } from '../../protocol/ids.js';
import { Keypair } from '../keypairs/keypair.entity.js';
import { VirtualMachine } from './virtual-machine.entity.js';

/** A key that a VM was given. It keeps name and key, so that the keypair may be deleted while VMs use it. */
@Entity()
export class VirtualMachineKeypair {
  @PrimaryColumn('int')
  @ForeignKey(() => VirtualMachine, { onDelete: 'CASCADE' })
  virtualMachineId: VmId;

  /** Order in the request; the first is the one that the API shows as `keypair`. */
  @PrimaryColumn('int')
  position: number;

  @Column('int', { nullable: true })
  @Index()
  @ForeignKey(() => Keypair, { onDelete: 'SET NULL' })
  keypairId: number | null;

  @Column('text')
  name: string;

  @Column('text')
  publicKey: string;
}
