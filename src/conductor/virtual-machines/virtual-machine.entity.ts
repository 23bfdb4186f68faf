import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn, Unique } from 'typeorm';
import type { EnvironmentId, OrganizationId, UserId, VmId, VmUuid } from '../../protocol/ids.js';
import type { DesiredPower, VmHardware } from '../../protocol/task.js';
import { Flavor } from '../catalog/flavor.entity.js';
import { Image } from '../catalog/image.entity.js';
import { Environment } from '../environments/environment.entity.js';
import { Organization } from '../identity/organization.entity.js';
import { UserAccount } from '../identity/user-account.entity.js';
import type { Observed, Operation, VmStatus } from './vm-status.js';

/**
 * A virtual machine: what its owner wants (`desiredPower`, `generation`: written by the API alone) and what a worker
 * saw (`observed`, `observedGeneration`, `hasRun`: written by reports alone). `status` is derived from both by
 * `vm-status.ts` and stored so that lists can filter by it. The row outlives the VM, for events and usage.
 */
@Entity()
@Unique(['uuid'])
@Index('uq_virtual_machine_name', ['environmentId', 'name'], { unique: true, where: '"deleted_at" IS NULL' })
@Index('idx_virtual_machine_live', ['organizationId', 'id'], { where: '"deleted_at" IS NULL' })
@Index('idx_virtual_machine_undone', ['id'], { where: `"observed" = 'undone'` })
@Index('idx_virtual_machine_stopped_by_drain', ['id'], { where: '"stopped_by_drain"' })
@Index('uq_virtual_machine_fixed_ip', ['environmentId', 'fixedIp'], { unique: true, where: '"deleted_at" IS NULL' })
@Check('ck_virtual_machine_fixed_ip', '"fixed_ip" IS NOT NULL OR "deleted_at" IS NOT NULL')
@Check('ck_virtual_machine_generation', '"observed_generation" <= "generation"')
export class VirtualMachine {
  /** From the sequence `virtual_machine_id_seq`, drawn before the insert so that the answer is known beforehand. */
  @PrimaryColumn('int')
  id: VmId;

  @Column('uuid')
  uuid: VmUuid;

  @Column('int')
  @ForeignKey(() => Organization)
  organizationId: OrganizationId;

  @Column('int')
  @ForeignKey(() => Environment)
  environmentId: EnvironmentId;

  @Column('int')
  @ForeignKey(() => UserAccount)
  userId: UserId;

  @Column('text')
  name: string;

  @Column('int')
  @ForeignKey(() => Flavor)
  flavorId: number;

  @Column('int')
  @ForeignKey(() => Image)
  imageId: number;

  @Column('text', { nullable: true })
  userData: string | null;

  @Column('text', { nullable: true })
  callbackUrl: string | null;

  @Column('boolean')
  portRandomization: boolean;

  @Column('text')
  desiredPower: DesiredPower;

  /** What was last asked for: says what a VM that is not settled is on its way to. */
  @Column('text', { default: 'create' })
  operation: Operation;

  /** It gave its floating IP back when it was hibernated, and gets another when it comes back. */
  @Column('boolean', { default: false })
  awaitsFloatingIp: boolean;

  /** Not its owner stopped it, but the draining of its node, whose end starts it again. */
  @Column('boolean', { default: false })
  stoppedByDrain: boolean;

  /** What the worker shall make it of: with name and desired power, the content of every task of this VM. */
  @Column('jsonb')
  hardware: VmHardware;

  @Column('int', { default: 1 })
  generation: number;

  @Column('text', { default: 'nothing' })
  observed: Observed;

  /** The generation that the last accepted report speaks of. */
  @Column('int', { default: 0 })
  observedGeneration: number;

  @Column('text', { default: 'CREATING' })
  status: VmStatus;

  /** Why the VM is in ERROR, in words fit for its owner. */
  @Column('text', { nullable: true })
  fault: string | null;

  /** Of its environment's subnet, for as long as it is there; of a deleted VM only a memory. */
  @Column('inet', { nullable: true })
  fixedIp: string | null;

  /** Some report has seen it running or stopped: from then on its disk holds somebody's data. */
  @Column('boolean', { default: false })
  hasRun: boolean;

  @Column('timestamptz')
  createdAt: Date;

  /** When the guest phoned home for the first time in its present incarnation. */
  @Column('timestamptz', { nullable: true })
  reachableAt: Date | null;

  @Column('timestamptz', { nullable: true })
  deletedAt: Date | null;
}
