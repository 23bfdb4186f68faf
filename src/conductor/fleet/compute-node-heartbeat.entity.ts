import { Column, Entity, ForeignKey, PrimaryColumn } from 'typeorm';
import type { ComputeNodeId, SnapshotUuid } from '../../protocol/ids.js';
import type { InventoryItem } from '../../protocol/node.js';
import { ComputeNode } from './compute-node.entity.js';

/** The last sign of life of a node, beside and not in the row that placement locks; unindexed, so that a beat is cheap. */
@Entity()
export class ComputeNodeHeartbeat {
  @PrimaryColumn('int')
  @ForeignKey(() => ComputeNode, { onDelete: 'CASCADE' })
  computeNodeId: ComputeNodeId;

  @Column('timestamptz')
  beatAt: Date;

  @Column('text')
  inventoryDigest: string;

  @Column('jsonb')
  inventory: InventoryItem[];

  /** Of which the node has the files. */
  @Column('jsonb', { default: [] })
  snapshots: SnapshotUuid[];
}
