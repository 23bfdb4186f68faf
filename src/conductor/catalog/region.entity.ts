import { Column, Entity, PrimaryGeneratedColumn, Unique } from 'typeorm';
import type { RegionId } from '../../protocol/ids.js';

/** Infrahub's word for how a region is powered. */
export type GreenStatus = 'GREEN' | 'PARTIALLY_GREEN' | 'NOT_GREEN';

/** A place where nodes stand; flavors, images and environments belong to one. */
@Entity()
@Unique(['name'])
export class Region {
  @PrimaryGeneratedColumn('identity', { type: 'int' })
  id: RegionId;

  @Column('text')
  name: string;

  @Column('text')
  description: string;

  @Column('text')
  country: string;

  @Column('text')
  greenStatus: GreenStatus;
}
