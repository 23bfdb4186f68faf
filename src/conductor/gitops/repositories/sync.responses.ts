/** What the API shows of the history of a repository. */
import { ApiProperty } from '@nestjs/swagger';
import { apiTime, PagedEnvelope, type Page } from '../../http/envelope.js';
import type { SyncAction, SyncProblem, SyncState } from '../gitops-sync.entity.js';

export interface SyncRow {
  readonly id: number;
  readonly trigger: string;
  readonly commit: string;
  readonly author: string;
  readonly message: string;
  readonly state: SyncState;
  readonly actions: readonly SyncAction[];
  readonly problems: readonly SyncProblem[];
  readonly started_at: Date | string;
  readonly finished_at: Date | string | null;
}

export class SyncActionFields {
  @ApiProperty({ enum: ['create', 'update', 'replace', 'delete'] })
  verb: string;

  @ApiProperty({ example: 'VirtualMachine demo/web' })
  resource: string;

  @ApiProperty({ type: [String] })
  fields: readonly string[];

  @ApiProperty({ enum: ['planned', 'done', 'waiting', 'failed', 'blocked'] })
  result: string;

  @ApiProperty()
  message: string;
}

export class SyncProblemFields {
  @ApiProperty({ description: 'Empty when it is about a document or a file.' })
  resource: string;

  @ApiProperty()
  file: string;

  @ApiProperty({ type: 'integer', nullable: true })
  line: number | null;

  @ApiProperty()
  field: string;

  @ApiProperty()
  message: string;
}

export class SyncFields {
  @ApiProperty({ type: 'integer' })
  id: number;

  @ApiProperty({ enum: ['created', 'poll', 'push', 'manual', 'rollback', 'drift', 'apply'] })
  trigger: string;

  @ApiProperty()
  commit: string;

  @ApiProperty()
  author: string;

  @ApiProperty({ description: 'Of the commit.' })
  message: string;

  @ApiProperty({ enum: ['running', 'succeeded', 'failed', 'planned', 'superseded'] })
  state: string;

  @ApiProperty({ type: [SyncActionFields] })
  actions: readonly SyncActionFields[];

  @ApiProperty({ type: [SyncProblemFields] })
  problems: readonly SyncProblemFields[];

  @ApiProperty({ description: 'UTC.' })
  started_at: string;

  @ApiProperty({ type: String, nullable: true, description: 'UTC.' })
  finished_at: string | null;

  @ApiProperty({ type: Number, nullable: true })
  duration_seconds: number | null;

  constructor(row: SyncRow) {
    const started = new Date(row.started_at);
    const finished = row.finished_at === null ? null : new Date(row.finished_at);
    this.id = row.id;
    this.trigger = row.trigger;
    this.commit = row.commit;
    this.author = row.author;
    this.message = row.message;
    this.state = row.state;
    this.actions = row.actions;
    this.problems = row.problems;
    this.started_at = apiTime(started);
    this.finished_at = finished && apiTime(finished);
    this.duration_seconds = finished && (finished.getTime() - started.getTime()) / 1_000;
  }
}

export class SyncsResponse extends PagedEnvelope {
  @ApiProperty({ type: [SyncFields], description: 'Newest first.' })
  syncs: SyncFields[];

  constructor(rows: readonly SyncRow[], count: number, page: Page) {
    super('Getting syncs successful', count, page);
    this.syncs = rows.map((row) => new SyncFields(row));
  }
}
