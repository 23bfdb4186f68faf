import { Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import type { VmId } from '../../protocol/ids.js';
import { VirtualMachine } from '../virtual-machines/virtual-machine.entity.js';

/** What a VM has used within one period: amounts in it, and its memory in the mean. */
@Entity()
@Index(['granularity', 'at'])
export class VmMetric {
  @PrimaryColumn('int')
  @ForeignKey(() => VirtualMachine)
  virtualMachineId: VmId;

  /** Length of the period in seconds: a minute, five, an hour. */
  @PrimaryColumn('int')
  granularity: number;

  /** When it began. */
  @PrimaryColumn('timestamptz')
  at: Date;

  @Column('bigint')
  cpuNs: string;

  @Column('int')
  memoryMib: number;

  @Column('bigint')
  diskReadBytes: string;

  @Column('bigint')
  diskWriteBytes: string;

  @Column('bigint')
  networkInBytes: string;

  @Column('bigint')
  networkOutBytes: string;
}
