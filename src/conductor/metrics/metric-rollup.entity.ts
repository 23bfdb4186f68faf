import { Column, Entity, PrimaryColumn } from 'typeorm';

/** Up to when metrics were summed up into periods of this length: the lease of whoever sums on. */
@Entity()
export class MetricRollup {
  @PrimaryColumn('int')
  granularity: number;

  @Column('timestamptz')
  doneUntil: Date;
}
