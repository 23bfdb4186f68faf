import { Check, Column, Entity, ForeignKey, PrimaryColumn } from 'typeorm';
import type { EnvironmentId } from '../../protocol/ids.js';
import { Environment } from '../environments/environment.entity.js';
import { QUOTA_KIND_NAMES } from './quota-refusal.js';

const every = (suffix: 'max' | 'used'): string => QUOTA_KIND_NAMES.map((kind) => `"${kind}_${suffix}" >= 0`).join(' AND ');

/**
 * How much an environment may have of what its organization may have, null being without limit, and how much it has.
 * Kept by triggers, as `OrganizationQuota` is. There is a row only while there is a limit.
 */
@Entity()
@Check('ck_environment_quota_max', every('max'))
@Check('ck_environment_quota_used', every('used'))
export class EnvironmentQuota {
  @PrimaryColumn('int')
  @ForeignKey(() => Environment, { onDelete: 'CASCADE' })
  environmentId: EnvironmentId;

  @Column('int', { nullable: true })
  vmsMax: number | null;

  @Column('int', { default: 0 })
  vmsUsed: number;

  @Column('int', { nullable: true })
  vcpusMax: number | null;

  @Column('int', { default: 0 })
  vcpusUsed: number;

  @Column('int', { nullable: true })
  memoryMibMax: number | null;

  @Column('int', { default: 0 })
  memoryMibUsed: number;

  @Column('int', { nullable: true })
  diskGibMax: number | null;

  @Column('int', { default: 0 })
  diskGibUsed: number;

  @Column('int', { nullable: true })
  gpusMax: number | null;

  @Column('int', { default: 0 })
  gpusUsed: number;

  @Column('int', { nullable: true })
  volumesMax: number | null;

  @Column('int', { default: 0 })
  volumesUsed: number;

  @Column('int', { nullable: true })
  volumeGibMax: number | null;

  @Column('int', { default: 0 })
  volumeGibUsed: number;

  @Column('int', { nullable: true })
  floatingIpsMax: number | null;

  @Column('int', { default: 0 })
  floatingIpsUsed: number;

  @Column('int', { nullable: true })
  snapshotsMax: number | null;

  @Column('int', { default: 0 })
  snapshotsUsed: number;

  @Column('int', { nullable: true })
  snapshotGibMax: number | null;

  @Column('int', { default: 0 })
  snapshotGibUsed: number;
}
