import { Check, Column, CreateDateColumn, Entity, ForeignKey, Index, PrimaryGeneratedColumn } from 'typeorm';
import type { ComputeNodeId, IncarnationId, VmId } from '../../protocol/ids.js';
import { ComputeNode } from '../fleet/compute-node.entity.js';
import { Incarnation } from '../virtual-machines/incarnation.entity.js';
import { VirtualMachine } from '../virtual-machines/virtual-machine.entity.js';

/** That somebody wants to see the end of a VM's serial console, and what the node said. Kept for ten minutes. */
@Entity()
@Index('idx_console_log_request_open', ['computeNodeId'], { where: '"content" IS NULL' })
@Index(['virtualMachineId'])
@Check('ck_console_log_request_lines', '"lines" > 0')
export class ConsoleLogRequest {
  @PrimaryGeneratedColumn('identity', { type: 'int' })
  id: number;

  @Column('int')
  @ForeignKey(() => VirtualMachine)
  virtualMachineId: VmId;

  @Column('int')
  @ForeignKey(() => Incarnation)
  incarnationId: IncarnationId;

  /** The incarnation's: the only node that may answer. */
  @Column('int')
  @ForeignKey(() => ComputeNode)
  computeNodeId: ComputeNodeId;

  /** How many of the last lines. */
  @Column('int')
  lines: number;

  @CreateDateColumn({ type: 'timestamptz' })
  requestedAt: Date;

  /** Null until the node answers. */
  @Column('text', { nullable: true })
  content: string | null;
}
