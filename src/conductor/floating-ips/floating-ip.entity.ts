import { Column, Entity, ForeignKey, Index, PrimaryGeneratedColumn, Unique } from 'typeorm';
import type { RegionId, VmId } from '../../protocol/ids.js';
import { Region } from '../catalog/region.entity.js';
import { VirtualMachine } from '../virtual-machines/virtual-machine.entity.js';

/** Of an address and its VM: `attaching` and `detaching` until the VM's node has reported the generation of the change. */
export type FloatingIpState = 'free' | 'attaching' | 'attached' | 'detaching';

/** A public address of a region's pool; free, or held by one VM until its node has let go of it. */
@Entity()
@Unique(['address'])
@Unique(['virtualMachineId'])
@Index('idx_floating_ip_free', ['regionId', 'id'], { where: '"virtual_machine_id" IS NULL' })
export class FloatingIp {
  @PrimaryGeneratedColumn('identity', { type: 'int' })
  id: number;

  @Column('int')
  @ForeignKey(() => Region)
  regionId: RegionId;

  @Column('text')
  address: string;

  @Column('int', { nullable: true })
  @ForeignKey(() => VirtualMachine)
  virtualMachineId: VmId | null;

  /** The VM that the last attaching or detaching was about; only while it is the holder does the rest count. */
  @Column('int', { nullable: true })
  changedFor: VmId | null;

  /** The generation of that VM in which the change is in force. */
  @Column('int', { default: 0 })
  changedGeneration: number;

  /** Taken from that VM, but not yet confirmed by its node: nobody else may have it before. */
  @Column('boolean', { default: false })
  detaching: boolean;
}
