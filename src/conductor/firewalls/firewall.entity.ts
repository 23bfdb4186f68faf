import { Column, CreateDateColumn, Entity, ForeignKey, PrimaryGeneratedColumn, Unique } from 'typeorm';
import type { EnvironmentId } from '../../protocol/ids.js';
import { Environment } from '../environments/environment.entity.js';

/** A named set of security rules of an environment, for any number of its VMs. */
@Entity()
@Unique(['environmentId', 'name'])
export class Firewall {
  @PrimaryGeneratedColumn('identity', { type: 'int' })
  id: number;

  @Column('int')
  @ForeignKey(() => Environment)
  environmentId: EnvironmentId;

  @Column('text')
  name: string;

  @Column('text')
  description: string;

  /** Of the claim that Git made it under; null for what was made by hand. */
  @Column('uuid', { nullable: true })
  gitopsClaim: string | null;

  @CreateDateColumn({ type: 'timestamptz' })
  createdAt: Date;
}
