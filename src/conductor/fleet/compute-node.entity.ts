import { Check, Column, CreateDateColumn, Entity, ForeignKey, PrimaryGeneratedColumn, Unique } from 'typeorm';
import type { ComputeNodeId, RegionId } from '../../protocol/ids.js';
import { Region } from '../catalog/region.entity.js';

/**
 * A host with a worker, its capacity, and what is claimed of it. The `…Used` columns are written only by placement,
 * by conditional UPDATE; the CHECK constraints are the last guard against overselling.
 */
@Entity()
@Unique(['name'])
@Unique(['keyHash'])
@Check('ck_compute_node_vcpus', '"vcpus_used" BETWEEN 0 AND "vcpus_total"')
@Check('ck_compute_node_memory', '"memory_mib_used" BETWEEN 0 AND "memory_mib_total"')
@Check('ck_compute_node_disk', '"disk_gib_used" BETWEEN 0 AND "disk_gib_total"')
export class ComputeNode {
  @PrimaryGeneratedColumn('identity', { type: 'int' })
  id: ComputeNodeId;

  @Column('int')
  @ForeignKey(() => Region)
  regionId: RegionId;

  /** Also the name of its queue. */
  @Column('text')
  name: string;

  /** SHA-256 of the node's own key. */
  @Column('bytea')
  keyHash: Buffer;

  /** Raised with each registration: a report or heartbeat of an older one is refused. */
  @Column('int')
  session: number;

  @Column('text')
  hypervisor: string;

  @Column('text')
  acceleration: string;

  @Column('int')
  protocolVersion: number;

  /** Physical processors; `vcpusTotal` is this times the allocation ratio. */
  @Column('int')
  cpus: number;

  @Column('int')
  vcpusTotal: number;

  @Column('int', { default: 0 })
  vcpusUsed: number;

  @Column('int')
  memoryMibTotal: number;

  @Column('int', { default: 0 })
  memoryMibUsed: number;

  @Column('int')
  diskGibTotal: number;

  @Column('int', { default: 0 })
  diskGibUsed: number;

  /** Without a sign of life for this long it is DOWN; as of its last registration. */
  @Column('double precision', { default: 15 })
  leaseSeconds: number;

  /** How long its worker was told that its lease lasts; null for one that does not stop VMs by itself. */
  @Column('double precision', { nullable: true })
  fenceSeconds: number | null;

  /** Takes no new VMs. */
  @Column('boolean', { default: false })
  draining: boolean;

  /** While it is draining: its VMs are stopped, and not started. */
  @Column('boolean', { default: false })
  drainStops: boolean;

  @CreateDateColumn({ type: 'timestamptz' })
  createdAt: Date;
}
