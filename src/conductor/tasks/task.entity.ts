import { Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import type { ComputeNodeId, IncarnationId, TaskId, VmId } from '../../protocol/ids.js';
import { ComputeNode } from '../fleet/compute-node.entity.js';
import { Incarnation } from '../virtual-machines/incarnation.entity.js';
import { VirtualMachine } from '../virtual-machines/virtual-machine.entity.js';

/**
 * pending → published → done | failed | superseded | dead. `pending` past `availableAt` is for the relay to publish;
 * `published` past `deadlineAt` goes back to `pending`. `superseded`: another task of the VM brought it
 * as far as this one could, or further.
 */
export type TaskState = 'pending' | 'published' | 'done' | 'failed' | 'superseded' | 'dead';

/**
 * The outbox: that a worker is to be told of a VM's desired state, inserted in the transaction that changes it. What it
 * is told is the state at the time of publishing, so a late message brings no old wish.
 */
@Entity()
@Index('idx_task_pending', ['availableAt'], { where: `"state" = 'pending'` })
@Index('idx_task_published', ['deadlineAt'], { where: `"state" = 'published'` })
@Index('idx_task_vm', ['virtualMachineId'])
export class Task {
  @PrimaryColumn('uuid')
  id: TaskId;

  @Column('int')
  @ForeignKey(() => ComputeNode)
  computeNodeId: ComputeNodeId;

  @Column('int')
  @ForeignKey(() => VirtualMachine)
  virtualMachineId: VmId;

  @Column('int')
  @ForeignKey(() => Incarnation)
  incarnationId: IncarnationId;

  @Column('int')
  generation: number;

  @Column('text', { default: 'pending' })
  state: TaskState;

  /** How often it was handed to the bus. */
  @Column('int', { default: 0 })
  attempts: number;

  /** Not to be published before: now, or later after a failed publish. While a relay holds the row, its lease's end. */
  @Column('timestamptz', { default: () => 'now()' })
  availableAt: Date;

  /** When a published task that was not reported on is published again. */
  @Column('timestamptz', { nullable: true })
  deadlineAt: Date | null;

  @Column('timestamptz', { default: () => 'now()' })
  createdAt: Date;

  @Column('timestamptz', { nullable: true })
  finishedAt: Date | null;

  @Column('text', { nullable: true })
  lastError: string | null;
}
