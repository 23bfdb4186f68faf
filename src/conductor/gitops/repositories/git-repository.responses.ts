/** What the API shows of repositories of desired state, and of what they own. Never a secret. */
import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { apiTime, Envelope } from '../../http/envelope.js';
import { FORGES, type Forge } from '../git/commit-status.js';
import type { SyncState } from '../gitops-sync.entity.js';
import type { OwnedResource } from '../state/ownership.js';
import { SyncFields, type SyncRow } from './sync.responses.js';

export interface GitRepositoryRow {
  readonly id: number;
  readonly name: string;
  readonly url: string | null;
  readonly ref: string;
  readonly path: string;
  readonly environments: string[];
  readonly has_credentials: boolean;
  readonly has_webhook_secret: boolean;
  readonly poll_seconds: number;
  readonly prune: boolean;
  readonly prune_limit: number;
  readonly paused: boolean;
  readonly mode: string;
  readonly drift_policy: string;
  readonly callback_url: string | null;
  readonly role: string | null;
  readonly fetched_commit: string | null;
  readonly pinned_commit: string | null;
  readonly fetched_at: Date | null;
  readonly fetch_error: string | null;
  readonly drift: string[] | null;
  readonly forge: Forge | null;
  readonly commit_status: boolean;
  readonly commit_status_error: string | null;
  readonly resources: number;
  readonly created_at: Date;
  readonly last_sync: SyncRow | null;
}

export type RepositoryStatus = 'NEW' | 'PAUSED' | 'SYNCING' | 'SYNCED' | 'DRIFTED' | 'FAILED' | 'PLANNED';

const STATUS: Readonly<Record<SyncState, RepositoryStatus>> = {
  running: 'SYNCING',
  succeeded: 'SYNCED',
  failed: 'FAILED',
  planned: 'PLANNED',
  superseded: 'SYNCING',
};

export function statusOf({ paused, fetch_error, drift, last_sync }: GitRepositoryRow): RepositoryStatus {
  if (paused) return 'PAUSED';
  if (fetch_error !== null) return 'FAILED';
  if (last_sync === null) return 'NEW';
  return last_sync.state === 'succeeded' && drift !== null ? 'DRIFTED' : STATUS[last_sync.state];
}

export class GitRepositoryFields {
  @ApiProperty({ type: 'integer' })
  id: number;

  @ApiProperty()
  name: string;

  @ApiProperty({ type: String, nullable: true, description: 'Null for files that were sent.' })
  url: string | null;

  @ApiProperty()
  ref: string;

  @ApiProperty()
  path: string;

  @ApiProperty({ type: [String] })
  environments: string[];

  @ApiProperty({ description: 'Which, is never shown.' })
  has_credentials: boolean;

  @ApiProperty({ description: 'Whether pushes can be verified.' })
  has_webhook_secret: boolean;

  @ApiProperty({ type: 'integer' })
  poll_seconds: number;

  @ApiProperty()
  prune: boolean;

  @ApiProperty({ type: 'integer' })
  prune_limit: number;

  @ApiProperty()
  paused: boolean;

  @ApiProperty({ enum: ['plan', 'apply'] })
  mode: string;

  @ApiProperty({ enum: ['report', 'correct'] })
  drift_policy: string;

  @ApiProperty({ type: String, nullable: true })
  callback_url: string | null;

  @ApiProperty({ type: String, nullable: true, description: 'Of its service account.' })
  role: string | null;

  @ApiProperty({ enum: ['NEW', 'PAUSED', 'SYNCING', 'SYNCED', 'DRIFTED', 'FAILED', 'PLANNED'] })
  status: RepositoryStatus;

  @ApiProperty({ type: String, nullable: true, description: 'The newest that was fetched.' })
  commit: string | null;

  @ApiProperty({ type: String, nullable: true, description: 'Rolled back to: the branch is not followed until the repository is resumed.' })
  pinned_commit: string | null;

  @ApiProperty({ type: String, nullable: true, description: 'UTC.' })
  fetched_at: string | null;

  @ApiProperty({ type: String, nullable: true })
  fetch_error: string | null;

  @ApiProperty({ type: [String], description: 'What was found different at the last pass.' })
  drift: string[];

  @ApiProperty({ enum: FORGES, nullable: true, description: 'Null: known by its host, or none.' })
  forge: Forge | null;

  @ApiProperty({ description: 'Whether commits are told at the forge what was planned and done.' })
  commit_status: boolean;

  @ApiProperty({ type: String, nullable: true, description: 'Why the last of these could not be told.' })
  commit_status_error: string | null;

  @ApiProperty({ type: 'integer', description: 'How many it owns.' })
  resources: number;

  @ApiProperty({ type: SyncFields, nullable: true })
  last_sync: SyncFields | null;

  @ApiProperty({ description: 'UTC.' })
  created_at: string;

  constructor(row: GitRepositoryRow) {
    this.id = row.id;
    this.name = row.name;
    this.url = row.url;
    this.ref = row.ref;
    this.path = row.path;
    this.environments = row.environments;
    this.has_credentials = row.has_credentials;
    this.has_webhook_secret = row.has_webhook_secret;
    this.poll_seconds = row.poll_seconds;
    this.prune = row.prune;
    this.prune_limit = row.prune_limit;
    this.paused = row.paused;
    this.mode = row.mode;
    this.drift_policy = row.drift_policy;
    this.callback_url = row.callback_url;
    this.role = row.role;
    this.status = statusOf(row);
    this.commit = row.fetched_commit;
    this.pinned_commit = row.pinned_commit;
    this.fetched_at = row.fetched_at && apiTime(row.fetched_at);
    this.fetch_error = row.fetch_error;
    this.drift = row.drift ?? [];
    this.forge = row.forge;
    this.commit_status = row.commit_status;
    this.commit_status_error = row.commit_status_error;
    this.resources = row.resources;
    this.last_sync = row.last_sync && new SyncFields(row.last_sync);
    this.created_at = apiTime(row.created_at);
  }
}

export class GitRepositoryResponse extends Envelope {
  @ApiProperty()
  git_repo: GitRepositoryFields;

  @ApiPropertyOptional({ description: 'What the forge shall sign pushes with: shown this once, and only when it was made here.' })
  webhook_secret?: string;

  constructor(message: string, row: GitRepositoryRow, webhookSecret?: string) {
    super(message);
    this.git_repo = new GitRepositoryFields(row);
    if (webhookSecret !== undefined) this.webhook_secret = webhookSecret;
  }
}

export class GitRepositoriesResponse extends Envelope {
  @ApiProperty({ type: [GitRepositoryFields] })
  git_repos: GitRepositoryFields[];

  constructor(message: string, rows: readonly GitRepositoryRow[]) {
    super(message);
    this.git_repos = rows.map((row) => new GitRepositoryFields(row));
  }
}

export class OwnedResourceFields {
  @ApiProperty()
  kind: string;

  @ApiProperty({ description: 'Empty for what belongs to the organization itself.' })
  environment: string;

  @ApiProperty()
  name: string;

  @ApiProperty({ type: 'integer', nullable: true, description: 'Null while it is being made.' })
  id: number | null;

  @ApiProperty()
  protect: boolean;

  @ApiProperty({ description: 'File that declares it.' })
  path: string;

  @ApiProperty({ type: 'integer' })
  line: number;

  @ApiProperty({ description: 'That declared it so.' })
  commit: string;
}

export class OwnedResourcesResponse extends Envelope {
  @ApiProperty({ type: [OwnedResourceFields] })
  resources: readonly OwnedResourceFields[];

  constructor(resources: readonly OwnedResource[]) {
    super('Getting resources successful');
    this.resources = resources;
  }
}
