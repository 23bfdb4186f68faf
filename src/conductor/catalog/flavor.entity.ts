import { Check, Column, CreateDateColumn, Entity, ForeignKey, PrimaryGeneratedColumn, Unique } from 'typeorm';
import type { RegionId } from '../../protocol/ids.js';
import { Region } from './region.entity.js';

/** A size of VM, offered in one region. */
@Entity()
@Unique(['regionId', 'name'])
@Check('ck_flavor_size', '"cpu" > 0 AND "ram_mib" > 0 AND "disk" > 0 AND "gpu_count" >= 0')
@Check('ck_flavor_gpu', `("gpu" = '') = ("gpu_count" = 0)`)
export class Flavor {
  @PrimaryGeneratedColumn('identity', { type: 'int' })
  id: number;

  @Column('int')
  @ForeignKey(() => Region)
  regionId: RegionId;

  @Column('text')
  name: string;

  @Column('text', { nullable: true })
  displayName: string | null;

  @Column('int')
  cpu: number;

  /** The API speaks GB as a number (0.25 is fine); memory is counted in MiB here. */
  @Column('int')
  ramMib: number;

  /** Root disk in GB. */
  @Column('int')
  disk: number;

  /** GPU model; empty for none, as the API has it. */
  @Column('text')
  gpu: string;

  @Column('int')
  gpuCount: number;

  /** Made to the measure of a request, not offered: nobody finds it by its name. */
  @Column('boolean', { default: false })
  custom: boolean;

  /** VMs of this flavor are started on another node, with an empty disk, when theirs is lost. */
  @Column('boolean', { default: false })
  autoRecover: boolean;

  @CreateDateColumn({ type: 'timestamptz' })
  createdAt: Date;
}
