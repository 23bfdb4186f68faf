import { Column, Entity, ForeignKey, PrimaryColumn } from 'typeorm';
import type { ComputeNodeId } from '../../protocol/ids.js';
import { ComputeNode } from '../fleet/compute-node.entity.js';

/** The last batch of samples that was taken from a node: what comes again is not counted again. */
@Entity()
export class SampleBatchSeen {
  @PrimaryColumn('int')
  @ForeignKey(() => ComputeNode, { onDelete: 'CASCADE' })
  computeNodeId: ComputeNodeId;

  @Column('int')
  session: number;

  @Column('int')
  batch: number;
}
