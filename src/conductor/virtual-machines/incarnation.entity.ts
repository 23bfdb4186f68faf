import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import type { ComputeNodeId, IncarnationId, VmId } from '../../protocol/ids.js';
import { ComputeNode } from '../fleet/compute-node.entity.js';
import type { PlacementExplanation } from '../scheduling/placement.js';
import { VirtualMachine } from './virtual-machine.entity.js';

/**
 * One life of one VM on one node, with the claim that it holds there. A VM has at most one that has not ended; what
 * a node uses is the sum of the claims held on it (`baton admin fsck` compares them).
 */
@Entity()
@Index('uq_incarnation_live', ['virtualMachineId'], { unique: true, where: '"ended_at" IS NULL' })
@Index('idx_incarnation_node', ['computeNodeId'], { where: '"claimed"' })
@Index('idx_incarnation_vm', ['virtualMachineId'])
@Index('idx_incarnation_left_behind', ['computeNodeId'], { where: '"left_behind"' })
@Check('ck_incarnation_claim_ends', '"ended_at" IS NULL OR NOT "claimed"')
export class Incarnation {
  /** From the sequence `incarnation_id_seq`, drawn before the insert: the task names it. */
  @PrimaryColumn('int')
  id: IncarnationId;

  @Column('int')
  @ForeignKey(() => VirtualMachine)
  virtualMachineId: VmId;

  @Column('int')
  @ForeignKey(() => ComputeNode)
  computeNodeId: ComputeNodeId;

  @Column('boolean', { default: true })
  claimed: boolean;

  /** CPU, memory and GPUs are given back, so that the claim is on the disk alone. */
  @Column('boolean', { default: false })
  hibernated: boolean;

  @Column('int')
  vcpus: number;

  @Column('int')
  memoryMib: number;

  @Column('int')
  diskGib: number;

  @Column('text', { nullable: true })
  gpuModel: string | null;

  @Column('int', { default: 0 })
  gpuCount: number;

  /** SHA-256 (hex) of the token in the guest's metadata URL; the token itself is known to the node alone. */
  @Column('text', { nullable: true })
  metadataTokenHash: string | null;

  /** Sequence of the last accepted report; an older one is refused. */
  @Column('bigint', { default: 0 })
  lastSequence: string;

  /** How many nodes were tried for this life of the VM, this one among them. */
  @Column('int', { default: 1 })
  attempt: number;

  /** Why the VM could not be made here, in words fit for its owner. */
  @Column('text', { nullable: true })
  failure: string | null;

  /** It ended while its node was lost, where something of it may be left. */
  @Column('boolean', { default: false })
  leftBehind: boolean;

  /** When its owner was told that the node is lost and the VM cannot be started elsewhere. */
  @Column('timestamptz', { nullable: true })
  strandedAt: Date | null;

  /** Why this node: how many nodes each filter left. */
  @Column('jsonb', { nullable: true })
  placement: PlacementExplanation | null;

  @Column('timestamptz')
  createdAt: Date;

  @Column('timestamptz', { nullable: true })
  endedAt: Date | null;
}
