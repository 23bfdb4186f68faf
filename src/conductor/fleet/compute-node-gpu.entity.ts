import { Check, Column, Entity, ForeignKey, PrimaryColumn } from 'typeorm';
import type { ComputeNodeId } from '../../protocol/ids.js';
import { ComputeNode } from './compute-node.entity.js';

/** How many GPUs of one model a node has, and how many are claimed. */
@Entity()
@Check('ck_compute_node_gpu_used', '"used" BETWEEN 0 AND "total"')
export class ComputeNodeGpu {
  @PrimaryColumn('int')
  @ForeignKey(() => ComputeNode, { onDelete: 'CASCADE' })
  computeNodeId: ComputeNodeId;

  @PrimaryColumn('text')
  model: string;

  @Column('int')
  total: number;

  @Column('int', { default: 0 })
  used: number;
}
