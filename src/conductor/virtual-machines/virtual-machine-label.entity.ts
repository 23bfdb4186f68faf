import { Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import type { VmId } from '../../protocol/ids.js';
import { VirtualMachine } from './virtual-machine.entity.js';

@Entity()
export class VirtualMachineLabel {
  @PrimaryColumn('int')
  @ForeignKey(() => VirtualMachine, { onDelete: 'CASCADE' })
  virtualMachineId: VmId;

  @PrimaryColumn('text')
  @Index()
  label: string;
}
