import { Check, Column, Entity, ForeignKey, Index, PrimaryGeneratedColumn } from 'typeorm';
import type { OrganizationId } from '../../protocol/ids.js';
import { Organization } from '../identity/organization.entity.js';

/** What is paid by the hour; that of a floating IP belongs to the VM that holds it. */
export type UsageKind = 'virtual-machine' | 'volume' | 'floating-ip';

/** `held`: of what has no power. */
export type UsageState = 'running' | 'stopped' | 'hibernated' | 'held';

/**
 * A time for which something was held without a change. Triggers on the tables of VMs, volumes and floating IPs write
 * these rows in the transaction of the change, so that no writer of those tables can forget it; nobody else writes them.
 */
@Entity()
@Index('uq_usage_period_open', ['kind', 'resourceId'], { unique: true, where: '"ended_at" IS NULL' })
@Index('idx_usage_period_organization', ['organizationId', 'startedAt'])
@Index('idx_usage_period_resource', ['resourceId'])
@Check('ck_usage_period_order', '"ended_at" >= "started_at"')
export class UsagePeriod {
  @PrimaryGeneratedColumn('identity', { type: 'bigint' })
  id: string;

  @Column('int')
  @ForeignKey(() => Organization, { onDelete: 'CASCADE' })
  organizationId: OrganizationId;

  @Column('text')
  kind: UsageKind;

  /** The VM or the volume. */
  @Column('int')
  resourceId: number;

  /** Name of the flavor or of the volume type; empty for floating IPs. Not its id: it may be gone when the bill is made. */
  @Column('text')
  item: string;

  @Column('text')
  state: UsageState;

  /** GB of a volume, 1 of everything else. */
  @Column('int')
  amount: number;

  @Column('timestamptz')
  startedAt: Date;

  @Column('timestamptz', { nullable: true })
  endedAt: Date | null;
}
