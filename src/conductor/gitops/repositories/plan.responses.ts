/** What the API shows of a plan: what would be done, and what cannot be. */
import { ApiProperty } from '@nestjs/swagger';
import { Envelope } from '../../http/envelope.js';
import { titleOf } from '../manifest/resource.js';
import type { Action } from '../plan/plan.js';
import { heldInWords, stoppedInWords } from '../plan/rollout.js';
import type { Assessment } from '../reconcile/assessment.js';
import { SyncProblemFields } from './sync.responses.js';

export class FieldChangeFields {
  @ApiProperty()
  field: string;

  @ApiProperty({ nullable: true, description: 'Long texts by their digest.' })
  from: unknown;

  @ApiProperty({ nullable: true })
  to: unknown;
}

export class PlannedActionFields {
  @ApiProperty({ enum: ['create', 'update', 'replace', 'delete'] })
  verb: string;

  @ApiProperty({ example: 'VirtualMachine demo/web' })
  resource: string;

  @ApiProperty({ type: [FieldChangeFields] })
  changes: readonly FieldChangeFields[];

  @ApiProperty({ description: 'Where it is declared; empty for what is no longer.' })
  file: string;

  @ApiProperty({ type: 'integer', nullable: true })
  line: number | null;

  @ApiProperty({ description: 'Why it is not begun at once: others of its group are first. Empty for most.' })
  waits: string;

  constructor({ verb, identity, changes, declared, held }: Action) {
    this.verb = verb;
    this.resource = titleOf(identity);
    this.changes = changes;
    this.file = declared?.source.file ?? '';
    this.line = declared?.source.line ?? null;
    this.waits = held === undefined ? '' : held.stoppedBy === undefined ? heldInWords(held) : stoppedInWords(held.group, held.stoppedBy);
  }
}

export class PlanResponse extends Envelope {
  @ApiProperty()
  commit: string;

  @ApiProperty({ type: [PlannedActionFields], description: 'In the order in which they are carried out.' })
  actions: PlannedActionFields[];

  @ApiProperty({ type: [SyncProblemFields] })
  problems: readonly SyncProblemFields[];

  @ApiProperty({ type: 'integer' })
  unchanged: number;

  @ApiProperty({ type: [String], description: 'No longer declared, and kept all the same.' })
  kept: string[];

  constructor(commit: string, { plan, problems }: Assessment) {
    super(plan.actions.length === 0 ? 'Everything is as it is declared' : `${plan.actions.length} actions`);
    this.commit = commit;
    this.actions = plan.actions.map((action) => new PlannedActionFields(action));
    this.problems = problems;
    this.unchanged = plan.unchanged;
    this.kept = plan.kept.map(titleOf);
  }
}

export class ApplyResponse extends PlanResponse {
  @ApiProperty({ type: 'integer', nullable: true, description: 'Where its syncs are; null for a dry run of what was never applied.' })
  git_repo_id: number | null;

  constructor(commit: string, assessment: Assessment, repositoryId: number | null) {
    super(commit, assessment);
    this.git_repo_id = repositoryId;
  }
}
