import { Check, Column, Entity, ForeignKey, PrimaryColumn } from 'typeorm';
import type { OrganizationId } from '../../protocol/ids.js';
import { Organization } from '../identity/organization.entity.js';

/**
 * How much an organization may have, null being without limit, and how much it has. What it has is the sum of the claims
 * of its VMs, its volumes, its snapshots and the floating IPs that its VMs hold: triggers on their tables keep it, in the transaction
 * that takes or gives back, and refuse what goes over a limit. A row comes with its organization.
 */
@Entity()
@Check(
  'ck_organization_quota_used',
  `"vms_used" >= 0 AND "vcpus_used" >= 0 AND "memory_mib_used" >= 0 AND "disk_gib_used" >= 0 AND "gpus_used" >= 0`,
)
@Check('ck_organization_quota_storage_used', `"volumes_used" >= 0 AND "volume_gib_used" >= 0 AND "floating_ips_used" >= 0`)
@Check('ck_organization_quota_storage_max', `"volumes_max" >= 0 AND "volume_gib_max" >= 0 AND "floating_ips_max" >= 0`)
@Check('ck_organization_quota_snapshots_used', `"snapshots_used" >= 0 AND "snapshot_gib_used" >= 0`)
@Check('ck_organization_quota_snapshots_max', `"snapshots_max" >= 0 AND "snapshot_gib_max" >= 0`)
@Check(
  'ck_organization_quota_max',
  `"vms_max" >= 0 AND "vcpus_max" >= 0 AND "memory_mib_max" >= 0 AND "disk_gib_max" >= 0 AND "gpus_max" >= 0`,
)
export class OrganizationQuota {
  @PrimaryColumn('int')
  @ForeignKey(() => Organization, { onDelete: 'CASCADE' })
  organizationId: OrganizationId;

  @Column('int', { nullable: true })
  vmsMax: number | null;

  @Column('int', { nullable: true })
  vcpusMax: number | null;

  @Column('int', { nullable: true })
  memoryMibMax: number | null;

  @Column('int', { nullable: true })
  diskGibMax: number | null;

  @Column('int', { nullable: true })
  gpusMax: number | null;

  @Column('int', { default: 0 })
  vmsUsed: number;

  @Column('int', { default: 0 })
  vcpusUsed: number;

  @Column('int', { default: 0 })
  memoryMibUsed: number;

  @Column('int', { default: 0 })
  diskGibUsed: number;

  @Column('int', { default: 0 })
  gpusUsed: number;

  @Column('int', { nullable: true })
  volumesMax: number | null;

  @Column('int', { nullable: true })
  volumeGibMax: number | null;

  @Column('int', { nullable: true })
  floatingIpsMax: number | null;

  @Column('int', { default: 0 })
  volumesUsed: number;

  @Column('int', { default: 0 })
  volumeGibUsed: number;

  @Column('int', { default: 0 })
  floatingIpsUsed: number;

  @Column('int', { nullable: true })
  snapshotsMax: number | null;

  @Column('int', { nullable: true })
  snapshotGibMax: number | null;

  @Column('int', { default: 0 })
  snapshotsUsed: number;

  @Column('int', { default: 0 })
  snapshotGibUsed: number;
}
