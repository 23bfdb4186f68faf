/** Desired state without Git: files that are sent; and the schema of what they may say. */
import { Body, Controller, Get, Header, HttpCode, Post, Query, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { DocumentedErrors } from '../../http/documented-errors.js';
import { ApiKeyGuard } from '../../identity/api-key.strategy.js';
import { Caller, type KeyHolder } from '../../identity/principal.js';
import { manifestJsonSchema } from '../manifest/schema.js';
import { AppliedFilesService } from './applied-files.service.js';
import { ApplyPayload, ApplyQuery } from './git-repository.requests.js';
import { ApplyResponse } from './plan.responses.js';

const SCHEMA = JSON.stringify(manifestJsonSchema());

@ApiTags('Git as desired state')
@UseGuards(ApiKeyGuard)
@Controller(['gitops', 'v1/gitops'])
export class ApplyController {
  constructor(private readonly appliedFiles: AppliedFilesService) {}

  @Post('apply')
  @HttpCode(200)
  @ApiOperation({ summary: 'Make the cloud what files say that are sent', description: 'The answer is the plan; how it went is in the syncs of git_repo_id.' })
  @ApiOkResponse({ type: ApplyResponse })
  @DocumentedErrors(403, 404, 409, 413)
  async apply(@Caller() caller: KeyHolder, @Body() body: ApplyPayload, @Query() { dry_run }: ApplyQuery): Promise<ApplyResponse> {
    const { id, commit, assessment } = await this.appliedFiles.apply(caller, body, dry_run === true);
    return new ApplyResponse(commit, assessment, id);
  }
}

/** Editors ask for it, without a key. */
@ApiTags('Git as desired state')
@Controller(['gitops/schema.json', 'v1/gitops/schema.json'])
export class SchemaController {
  @Get()
  @Header('content-type', 'application/schema+json; charset=utf-8')
  @Header('cache-control', 'public, max-age=3600')
  @ApiOperation({ summary: 'JSON Schema of the documents of a manifest' })
  @ApiOkResponse({ description: 'Draft 7.' })
  schema(): string {
    return SCHEMA;
  }
}
