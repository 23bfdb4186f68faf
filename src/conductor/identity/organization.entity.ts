import { Column, CreateDateColumn, Entity, PrimaryGeneratedColumn, Unique } from 'typeorm';
import type { OrganizationId } from '../../protocol/ids.js';

/** A tenant: what one organization owns, no other can see. */
@Entity()
@Unique(['name'])
export class Organization {
  @PrimaryGeneratedColumn('identity', { type: 'int' })
  id: OrganizationId;

  @Column('text')
  name: string;

  /** Its VMs are started on another node, with an empty disk, when theirs is lost, whatever their flavor. */
  @Column('boolean', { default: false })
  autoRecover: boolean;

  @CreateDateColumn({ type: 'timestamptz' })
  createdAt: Date;
}
