import { Column, Entity, ForeignKey, Index, PrimaryGeneratedColumn, Unique } from 'typeorm';
import type { RegionId, VmId } from '../../protocol/ids.js';
import { Region } from '../catalog/region.entity.js';
import { VirtualMachine } from '../virtual-machines/virtual-machine.entity.js';

/** A public address of a region's pool; free, or held by one VM. */
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
}
