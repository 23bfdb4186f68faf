import { Column, CreateDateColumn, Entity, PrimaryGeneratedColumn, Unique } from 'typeorm';
import type { UserId } from '../../protocol/ids.js';

/** A person, or a program that acts as one. */
@Entity()
@Unique(['email'])
@Unique(['username'])
export class UserAccount {
  @PrimaryGeneratedColumn('identity', { type: 'int' })
  id: UserId;

  @Column('text')
  email: string;

  @Column('text')
  username: string;

  @Column('text')
  name: string;

  @CreateDateColumn({ type: 'timestamptz' })
  createdAt: Date;
}
