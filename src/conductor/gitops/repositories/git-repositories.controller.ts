/** `/gitops/git-repo`, also under `/v1`: HTTP to one call of the service, and back. */
import { Body, Controller, Delete, Get, HttpCode, Param, Post, Put, Query, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { DocumentedErrors } from '../../http/documented-errors.js';
import { Envelope } from '../../http/envelope.js';
import { pageOf } from '../../http/page-query.js';
import { ResourceId } from '../../http/resource-id.js';
import { ApiKeyGuard } from '../../identity/api-key.strategy.js';
import { Caller, type KeyHolder, type Principal } from '../../identity/principal.js';
import { GitRepositoriesService } from './git-repositories.service.js';
import { CreateGitRepository, PlanQuery, RollBackPayload, SyncsQuery, UpdateGitRepository } from './git-repository.requests.js';
import { PreviewsService } from './previews.service.js';
import { REPOSITORY } from './repository-rows.js';
import { GitRepositoriesResponse, GitRepositoryResponse, OwnedResourcesResponse } from './git-repository.responses.js';
import { PlanResponse } from './plan.responses.js';
import { SyncsResponse } from './sync.responses.js';

const Id = (): ParameterDecorator => Param('id', new ResourceId(REPOSITORY));
const ID = { name: 'id', type: 'integer' } as const;

@ApiTags('Git as desired state')
@UseGuards(ApiKeyGuard)
@Controller(['gitops/git-repo', 'v1/gitops/git-repo'])
export class GitRepositoriesController {
  constructor(
    private readonly repositories: GitRepositoriesService,
    private readonly previews: PreviewsService,
  ) {}

  @Get()
  @ApiOperation({ summary: 'List Git repositories' })
  @ApiOkResponse({ type: GitRepositoriesResponse })
  @DocumentedErrors()
  async list(@Caller() { organizationId }: Principal): Promise<GitRepositoriesResponse> {
    return new GitRepositoriesResponse('Getting Git repositories successful', await this.repositories.list(organizationId));
  }

  @Post()
  @HttpCode(200)
  @ApiOperation({ summary: 'Add a Git repository, to make the cloud what it says' })
  @ApiOkResponse({ type: GitRepositoryResponse })
  @DocumentedErrors(403, 404, 409)
  async create(@Caller() caller: KeyHolder, @Body() body: CreateGitRepository): Promise<GitRepositoryResponse> {
    const { row, webhookSecret } = await this.repositories.create(caller, body);
    return new GitRepositoryResponse('Git repository added', row, webhookSecret);
  }

  @Get(':id')
  @ApiOperation({ summary: 'Show a Git repository' })
  @ApiParam(ID)
  @ApiOkResponse({ type: GitRepositoryResponse })
  @DocumentedErrors(404)
  async get(@Caller() { organizationId }: Principal, @Id() id: number): Promise<GitRepositoryResponse> {
    return new GitRepositoryResponse('Getting Git repository successful', await this.repositories.get(organizationId, id));
  }

  @Put(':id')
  @ApiOperation({ summary: 'Change the settings of a Git repository' })
  @ApiParam(ID)
  @ApiOkResponse({ type: GitRepositoryResponse })
  @DocumentedErrors(403, 404, 409)
  async update(@Caller() caller: KeyHolder, @Id() id: number, @Body() body: UpdateGitRepository): Promise<GitRepositoryResponse> {
    return new GitRepositoryResponse('Git repository updated', await this.repositories.update(caller, id, body));
  }

  @Delete(':id')
  @ApiOperation({ summary: 'Remove a Git repository; what it made stays' })
  @ApiParam(ID)
  @ApiOkResponse({ type: Envelope })
  @DocumentedErrors(404)
  async remove(@Caller() caller: KeyHolder, @Id() id: number): Promise<Envelope> {
    return new Envelope(`${await this.repositories.remove(caller, id)} was removed. What it made stays.`);
  }

  @Post(':id/sync')
  @HttpCode(200)
  @ApiOperation({ summary: 'Look at the branch now, and make the cloud what it says' })
  @ApiParam(ID)
  @ApiOkResponse({ type: Envelope })
  @DocumentedErrors(404)
  async sync(@Caller() caller: KeyHolder, @Id() id: number): Promise<Envelope> {
    return new Envelope(`Syncing ${await this.repositories.sync(caller, id)}`);
  }

  @Post(':id/pause')
  @HttpCode(200)
  @ApiOperation({ summary: 'Neither look at the branch nor change anything until it is resumed' })
  @ApiParam(ID)
  @ApiOkResponse({ type: Envelope })
  @DocumentedErrors(404)
  async pause(@Caller() caller: KeyHolder, @Id() id: number): Promise<Envelope> {
    return new Envelope(`${await this.repositories.pause(caller, id)} is paused`);
  }

  @Post(':id/resume')
  @HttpCode(200)
  @ApiOperation({ summary: 'Follow the branch again, also after a rollback' })
  @ApiParam(ID)
  @ApiOkResponse({ type: Envelope })
  @DocumentedErrors(404)
  async resume(@Caller() caller: KeyHolder, @Id() id: number): Promise<Envelope> {
    return new Envelope(`${await this.repositories.resume(caller, id)} follows its branch`);
  }

  @Post(':id/rollback')
  @HttpCode(200)
  @ApiOperation({ summary: 'Make the cloud what an earlier commit says, and stay there until resumed' })
  @ApiParam(ID)
  @ApiOkResponse({ type: Envelope })
  @DocumentedErrors(404)
  async rollBack(@Caller() caller: KeyHolder, @Id() id: number, @Body() { commit }: RollBackPayload): Promise<Envelope> {
    return new Envelope(`Rolling back to ${await this.repositories.rollBack(caller, id, commit)}`);
  }

  @Get(':id/plan')
  @ApiOperation({ summary: 'What would be done now, by the commit that is followed or by another' })
  @ApiParam(ID)
  @ApiOkResponse({ type: PlanResponse })
  @DocumentedErrors(404)
  async plan(@Caller() { organizationId }: Principal, @Id() id: number, @Query() { ref }: PlanQuery): Promise<PlanResponse> {
    const { commit, assessment } = await this.previews.plan(organizationId, id, ref);
    return new PlanResponse(commit, assessment);
  }

  @Get(':id/syncs')
  @ApiOperation({ summary: 'What was done, newest first' })
  @ApiParam(ID)
  @ApiOkResponse({ type: SyncsResponse })
  @DocumentedErrors(404)
  async syncs(@Caller() { organizationId }: Principal, @Id() id: number, @Query() query: SyncsQuery): Promise<SyncsResponse> {
    const page = pageOf(query) ?? { page: 1, pageSize: 20 };
    const { rows, count } = await this.previews.syncs(organizationId, id, page);
    return new SyncsResponse(rows, count, page);
  }

  @Get(':id/resources')
  @ApiOperation({ summary: 'What it owns, and which file and commit declared it' })
  @ApiParam(ID)
  @ApiOkResponse({ type: OwnedResourcesResponse })
  @DocumentedErrors(404)
  async resources(@Caller() { organizationId }: Principal, @Id() id: number): Promise<OwnedResourcesResponse> {
    return new OwnedResourcesResponse(await this.previews.resources(organizationId, id));
  }
}
