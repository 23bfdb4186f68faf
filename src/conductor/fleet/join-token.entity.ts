import { Check, Column, CreateDateColumn, Entity, PrimaryGeneratedColumn, Unique } from 'typeorm';

/** Lets a new node join and be issued its own key. Stored hashed; used up after `usesLeft` registrations. */
@Entity()
@Unique(['tokenHash'])
@Check('ck_join_token_uses_left', '"uses_left" >= 0')
export class JoinToken {
  @PrimaryGeneratedColumn('identity', { type: 'int' })
  id: number;

  @Column('bytea')
  tokenHash: Buffer;

  @Column('int')
  usesLeft: number;

  @CreateDateColumn({ type: 'timestamptz' })
  createdAt: Date;

  @Column('timestamptz')
  expiresAt: Date;
}
