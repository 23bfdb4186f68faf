import { Column, Entity, ForeignKey, PrimaryColumn } from 'typeorm';
import { GitRepository } from './git-repository.entity.js';

/** The files of a commit as they were fetched: what passes go by while the branch stays, and what a rollback goes back to. */
@Entity()
export class GitopsSnapshot {
  @PrimaryColumn('int')
  @ForeignKey(() => GitRepository, { onDelete: 'CASCADE' })
  gitRepositoryId: number;

  @PrimaryColumn('text')
  commit: string;

  @Column('text')
  author: string;

  @Column('text')
  message: string;

  @Column('timestamptz')
  committedAt: Date;

  /** Compressed JSON: the files by their paths, and why others were not taken. */
  @Column('bytea')
  files: Buffer;

  @Column('timestamptz', { default: () => 'now()' })
  fetchedAt: Date;
}
