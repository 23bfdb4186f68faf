/** What callers may send about repositories of desired state. */
import { ApiProperty, ApiPropertyOptional, PartialType } from '@nestjs/swagger';
import { Type } from 'class-transformer';
import { ArrayMaxSize, ArrayUnique, IsArray, IsBoolean, IsIn, IsInt, IsObject, IsOptional, IsString, Length, Matches, Max, MaxLength, Min, ValidateNested } from 'class-validator';
import { PageQuery } from '../../http/page-query.js';
import { IsPlainText, PLAIN_TEXT } from '../../http/plain-text.js';
import { IsQueryBoolean } from '../../http/query-boolean.js';
import { FORGES, type Forge } from '../git/commit-status.js';
import type { DriftPolicy, GitMode } from '../git-repository.entity.js';

const COMMIT = /^[0-9a-f]{7,64}$/;

export class GitCredentialsPayload {
  @ApiPropertyOptional({ description: 'For https. Sealed, and never shown again.' })
  @IsOptional()
  @IsPlainText()
  @Length(1, 4096)
  @IsString()
  token?: string;

  @ApiPropertyOptional({ description: 'Beside the token, where the forge asks for one.' })
  @IsOptional()
  @IsPlainText()
  @Length(1, 255)
  @IsString()
  username?: string;

  @ApiPropertyOptional({ description: 'For ssh: a deploy key in the form of OpenSSH, without a passphrase. Sealed, and never shown again.' })
  @IsOptional()
  @Length(1, 16 * 1024)
  @IsString()
  private_key?: string;
}

/** How a manifest is made so: also of files that are sent. */
class ApplyingOptions {
  @ApiPropertyOptional({ type: [String], description: 'Environments that it may manage; none named means all.' })
  @IsOptional()
  @IsArray()
  @ArrayMaxSize(100)
  @ArrayUnique()
  @Matches(PLAIN_TEXT, { each: true, message: 'environments must be names' })
  @Length(1, 50, { each: true })
  @IsString({ each: true })
  environments?: string[];

  @ApiPropertyOptional({ default: false, description: 'Delete what is no longer declared.' })
  @IsOptional()
  @IsBoolean()
  prune?: boolean;

  @ApiPropertyOptional({ type: 'integer', minimum: 0, maximum: 5000, default: 10, description: 'How many resources one commit may delete or replace; more are left as they are, all of them.' })
  @IsOptional()
  @IsInt()
  @Min(0)
  @Max(5_000)
  prune_limit?: number;

  @ApiPropertyOptional({ description: 'Name of the role that its service account has. Default: GitOps, which is made when it is missing.' })
  @IsOptional()
  @IsPlainText()
  @Length(1, 100)
  @IsString()
  role?: string;
}

export class CreateGitRepository extends ApplyingOptions {
  @ApiPropertyOptional({ description: 'Unique in the organization. Default: the last part of the URL.' })
  @IsOptional()
  @Matches(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/, { message: 'name must have 1 to 100 letters, digits, dots, dashes or underscores' })
  name?: string;

  @ApiProperty({ example: 'https://github.com/example/cloud.git', description: 'https or ssh.' })
  @IsPlainText()
  @Length(1, 1000)
  @IsString()
  url: string;

  @ApiPropertyOptional({ default: 'main', description: 'Branch or tag.' })
  @IsOptional()
  @IsPlainText()
  @Length(1, 255)
  @IsString()
  ref?: string;

  @ApiPropertyOptional({ default: '', description: 'Folder of the manifest.' })
  @IsOptional()
  @Matches(/^(?!.*(^|\/)\.{1,2}(\/|$))[^\p{C}\\:]*$/u, { message: 'path must be that of a folder in the repository' })
  @MaxLength(500)
  @IsString()
  path?: string;

  @ApiPropertyOptional({ type: GitCredentialsPayload, nullable: true, description: 'Null takes away what there is.' })
  @IsOptional()
  @ValidateNested()
  @Type(() => GitCredentialsPayload)
  credentials?: GitCredentialsPayload | null;

  @ApiPropertyOptional({ minLength: 16, description: 'What the forge signs pushes with. Default: one that is made and shown once.' })
  @IsOptional()
  @IsPlainText()
  @Length(16, 255)
  @IsString()
  webhook_secret?: string;

  @ApiPropertyOptional({ type: 'integer', minimum: 5, maximum: 86400, default: 60, description: 'Seconds between two looks at the branch.' })
  @IsOptional()
  @IsInt()
  @Min(5)
  @Max(86_400)
  poll_seconds?: number;

  @ApiPropertyOptional({ default: false })
  @IsOptional()
  @IsBoolean()
  paused?: boolean;

  @ApiPropertyOptional({ enum: ['plan', 'apply'], default: 'apply', description: 'plan: only says what would be done.' })
  @IsOptional()
  @IsIn(['plan', 'apply'])
  mode?: GitMode;

  @ApiPropertyOptional({ enum: ['report', 'correct'], default: 'correct', description: 'What is done about what was changed by hand.' })
  @IsOptional()
  @IsIn(['report', 'correct'])
  drift_policy?: DriftPolicy;

  @ApiPropertyOptional({ type: String, nullable: true, maxLength: 250, description: 'Gets a signed POST when a sync starts, succeeds or fails, and when drift is found.' })
  @IsOptional()
  @MaxLength(250)
  @IsString()
  callback_url?: string | null;

  @ApiPropertyOptional({ enum: FORGES, nullable: true, description: 'Of a host that is none of github.com, gitlab.com and codeberg.org: Forgejo is gitea.' })
  @IsOptional()
  @IsIn(FORGES)
  forge?: Forge | null;

  @ApiPropertyOptional({ default: true, description: 'Says on commits at the forge what was planned and done, where there is a token and the forge is known.' })
  @IsOptional()
  @IsBoolean()
  commit_status?: boolean;
}

/** What is left out stays as it is. */
export class UpdateGitRepository extends PartialType(CreateGitRepository) {}

export class RollBackPayload {
  @ApiProperty({ description: 'At least seven of its digits. The branch is not followed until the repository is resumed.' })
  @Matches(COMMIT, { message: 'commit must be 7 to 64 hexadecimal digits' })
  commit: string;
}

export class PlanQuery {
  @ApiPropertyOptional({ description: 'Another branch, tag or commit than the one that is followed.' })
  @IsOptional()
  @IsPlainText()
  @Length(1, 255)
  @IsString()
  ref?: string;
}

export class SyncsQuery extends PageQuery {}

export class ApplyPayload extends ApplyingOptions {
  @ApiPropertyOptional({ default: 'applied', description: 'What is applied under one name replaces what was applied under it before.' })
  @IsOptional()
  @Matches(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/, { message: 'name must have 1 to 100 letters, digits, dots, dashes or underscores' })
  name?: string;

  @ApiProperty({ type: 'object', additionalProperties: { type: 'string' }, description: 'Texts of files by their paths.' })
  @IsObject()
  files: Record<string, string>;
}

export class ApplyQuery {
  @ApiPropertyOptional({ description: 'Only says what would be done.' })
  @IsOptional()
  @IsQueryBoolean()
  dry_run?: boolean;
}
