import { Check, Column, Entity, Index, PrimaryGeneratedColumn } from 'typeorm';
import type { UsageKind } from './usage-period.entity.js';

/** What something costs per hour, and from when to when: a price that was changed still counts for the time before. */
@Entity()
@Index('uq_price_current', ['kind', 'item'], { unique: true, where: '"ended_at" IS NULL' })
@Check('ck_price_per_hour', '"per_hour" >= 0')
export class Price {
  @PrimaryGeneratedColumn('identity', { type: 'int' })
  id: number;

  @Column('text')
  kind: UsageKind;

  /** Name of the flavor or of the volume type; empty for floating IPs. */
  @Column('text')
  item: string;

  /** Of one VM, of one GB of a volume, of one floating IP; in the currency of the configuration. */
  @Column('numeric', { precision: 18, scale: 8 })
  perHour: string;

  @Column('timestamptz', { default: () => 'now()' })
  startedAt: Date;

  @Column('timestamptz', { nullable: true })
  endedAt: Date | null;
}
