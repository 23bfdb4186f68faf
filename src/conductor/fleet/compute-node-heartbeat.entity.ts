import { Column, Entity, ForeignKey, PrimaryColumn } from 'typeorm';
import type { ComputeNodeId, SnapshotUuid } from '../../protocol/ids.js';
import type { ForeignDomain, InventoryItem } from '../../protocol/node.js';
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

  @Column('jsonb', { default: [] })
  foreignDomains: ForeignDomain[];

  /** Reports with a higher sequence know better than the inventory. Null where the worker tells no drift. */
  @Column('bigint', { nullable: true })
  inventorySequence: string | null;
}
