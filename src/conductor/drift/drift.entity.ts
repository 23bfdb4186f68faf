import { Column, Entity, ForeignKey, PrimaryGeneratedColumn, Unique } from 'typeorm';
import type { ComputeNodeId, IncarnationId, VmId } from '../../protocol/ids.js';
import { ComputeNode } from '../fleet/compute-node.entity.js';
import { VirtualMachine } from '../virtual-machines/virtual-machine.entity.js';
import type { DriftAction, DriftKind } from './drift-policy.js';

/**
 * seen → healing | shown | given up → healed | failed | gone. `seen`: nothing was done yet. `healing`: it was acted on,
 * and is acted on again while it stays. `shown`: nothing will be done. `given up`: it came back too often. The last three
 * are how it ended: put right, with its VM in ERROR, or by itself; one that was given up stays so.
 */
export type DriftOutcome = 'seen' | 'healing' | 'shown' | 'given up' | 'healed' | 'failed' | 'gone';

/** Something on a node that differs from what Baton knows. One row for each kind and domain; it is opened again when it comes back. */
@Entity()
@Unique(['computeNodeId', 'domainUuid', 'kind'])
export class Drift {
  @PrimaryGeneratedColumn('identity', { type: 'int' })
  id: number;

  @Column('int')
  @ForeignKey(() => ComputeNode, { onDelete: 'CASCADE' })
  computeNodeId: ComputeNodeId;

  @Column('uuid')
  domainUuid: string;

  /** Of the VM, where there is one. */
  @Column('text')
  domainName: string;

  @Column('text')
  kind: DriftKind;

  @Column('int', { nullable: true })
  @ForeignKey(() => VirtualMachine)
  virtualMachineId: VmId | null;

  @Column('int', { nullable: true })
  incarnationId: IncarnationId | null;

  /** By policy. */
  @Column('text')
  action: DriftAction;

  @Column('text', { default: 'seen' })
  outcome: DriftOutcome;

  /** How often it was acted on; counted anew when it has not come back for a while. */
  @Column('int', { default: 0 })
  attempts: number;

  @Column('timestamptz', { default: () => 'now()' })
  since: Date;

  @Column('timestamptz', { nullable: true })
  actedAt: Date | null;

  @Column('timestamptz', { nullable: true })
  endedAt: Date | null;
}
