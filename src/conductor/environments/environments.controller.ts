/** `/v1/core/environments`: HTTP to one call of the service, and back. */
import { Body, Controller, Delete, Get, HttpCode, Param, Post, Put, Query, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { DocumentedErrors } from '../http/documented-errors.js';
import { Envelope } from '../http/envelope.js';
import { NameAvailability } from '../http/name-availability.js';
import { pageOf } from '../http/page-query.js';
import { ResourceId } from '../http/resource-id.js';
import { ApiKeyGuard } from '../identity/api-key.strategy.js';
import { Caller, type Principal } from '../identity/principal.js';
import { CreateEnvironment, EnvironmentSearch, UpdateEnvironment } from './environment.requests.js';
import { EnvironmentResponse, EnvironmentsResponse } from './environment.responses.js';
import { EnvironmentsService } from './environments.service.js';

const Id = (): ParameterDecorator => Param('id', new ResourceId('The environment'));
const ID = { name: 'id', type: 'integer' } as const;

@ApiTags('Environment')
@UseGuards(ApiKeyGuard)
@Controller('v1/core/environments')
export class EnvironmentsController {
  constructor(private readonly environments: EnvironmentsService) {}

  @Get()
  @ApiOperation({ operationId: 'list_environments', summary: 'List environments' })
  @ApiOkResponse({ type: EnvironmentsResponse })
  @DocumentedErrors()
  async list(@Caller() principal: Principal, @Query() query: EnvironmentSearch): Promise<EnvironmentsResponse> {
    const page = pageOf(query);
    const { environments, count } = await this.environments.list(principal.organizationId, query.search, page);
    return new EnvironmentsResponse(environments, count, page);
  }

  @Post()
  @HttpCode(200)
  @ApiOperation({ operationId: 'create_environment', summary: 'Create an environment in a region' })
  @ApiOkResponse({ type: EnvironmentResponse })
  @DocumentedErrors(404, 409)
  async create(@Caller() principal: Principal, @Body() body: CreateEnvironment): Promise<EnvironmentResponse> {
    const environment = await this.environments.create(principal, body.name, body.region);
    return new EnvironmentResponse('Environment created successfully', environment);
  }

  @Get('name-availability/:name')
  @ApiOperation({ operationId: 'fetch_environment_name_availability', summary: 'Ask whether a name is free' })
  @ApiOkResponse({ type: NameAvailability })
  @DocumentedErrors()
  async nameAvailability(@Caller() principal: Principal, @Param('name') name: string): Promise<NameAvailability> {
    return await this.environments.nameAvailability(principal.organizationId, name);
  }

  @Get(':id')
  @ApiOperation({ operationId: 'get_environment', summary: 'Show an environment' })
  @ApiParam(ID)
  @ApiOkResponse({ type: EnvironmentResponse })
  @DocumentedErrors(404)
  async get(@Caller() principal: Principal, @Id() id: number): Promise<EnvironmentResponse> {
    const environment = await this.environments.get(principal.organizationId, id);
    return new EnvironmentResponse('Getting environment successful', environment);
  }

  @Put(':id')
  @ApiOperation({ operationId: 'update_environment', summary: 'Rename an environment' })
  @ApiParam(ID)
  @ApiOkResponse({ type: EnvironmentResponse })
  @DocumentedErrors(404, 409)
  async update(
    @Caller() principal: Principal,
    @Id() id: number,
    @Body() body: UpdateEnvironment,
  ): Promise<EnvironmentResponse> {
    const environment = await this.environments.rename(principal, id, body.name);
    return new EnvironmentResponse('Environment updated successfully', environment);
  }

  @Delete(':id')
  @ApiOperation({ operationId: 'delete_environment', summary: 'Delete an empty environment' })
  @ApiParam(ID)
  @ApiOkResponse({ type: Envelope })
  @DocumentedErrors(404, 405)
  async delete(@Caller() principal: Principal, @Id() id: number): Promise<Envelope> {
    await this.environments.delete(principal, id);
    return new Envelope('Environment deleted successfully');
  }
}
