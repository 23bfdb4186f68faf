import { Column, CreateDateColumn, Entity, ForeignKey, PrimaryGeneratedColumn, Unique } from 'typeorm';
import type { EnvironmentId } from '../../protocol/ids.js';
import { Environment } from '../environments/environment.entity.js';

/** A public SSH key that VMs of its environment can be given. */
@Entity()
@Unique(['environmentId', 'name'])
export class Keypair {
  @PrimaryGeneratedColumn('identity', { type: 'int' })
  id: number;

  @Column('int')
  @ForeignKey(() => Environment)
  environmentId: EnvironmentId;

  @Column('text')
  name: string;

  @Column('text')
  publicKey: string;

  /** MD5 of the key blob, colon-separated hex: what Infrahub shows. */
  @Column('text')
  fingerprint: string;

  /** Of the claim that Git made it under; null for what was made by hand. */
  @Column('uuid', { nullable: true })
  gitopsClaim: string | null;

  @CreateDateColumn({ type: 'timestamptz' })
  createdAt: Date;
}
