/** `/v1/core/profiles`. */
import { Body, Controller, Delete, Get, Param, Post, UseGuards } from '@nestjs/common';
import { ApiCreatedResponse, ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { DocumentedErrors } from '../http/documented-errors.js';
import { Envelope } from '../http/envelope.js';
import { ResourceId } from '../http/resource-id.js';
import { ApiKeyGuard } from '../identity/api-key.strategy.js';
import { Caller, type Principal } from '../identity/principal.js';
import { CreateProfilePayload } from './profile.requests.js';
import { ProfileResponse, ProfilesResponse } from './profile.responses.js';
import { ProfilesService } from './profiles.service.js';

const Id = (): ParameterDecorator => Param('id', new ResourceId('The profile'));
const ID = { name: 'id', type: 'integer' } as const;

@ApiTags('Profile')
@UseGuards(ApiKeyGuard)
@Controller('v1/core/profiles')
export class ProfilesController {
  constructor(private readonly profiles: ProfilesService) {}

  @Get()
  @ApiOperation({ operationId: 'list_profiles', summary: 'List profiles, oldest first' })
  @ApiOkResponse({ type: ProfilesResponse })
  @DocumentedErrors()
  async list(@Caller() principal: Principal): Promise<ProfilesResponse> {
    return new ProfilesResponse(await this.profiles.list(principal.organizationId));
  }

  @Post()
  @ApiOperation({ operationId: 'create_profile', summary: 'Keep a request for VMs under a name' })
  @ApiCreatedResponse({ type: ProfileResponse })
  @DocumentedErrors(409)
  async create(@Caller() principal: Principal, @Body() body: CreateProfilePayload): Promise<ProfileResponse> {
    return new ProfileResponse('Profile created successfully', await this.profiles.create(principal, body));
  }

  @Get(':id')
  @ApiOperation({ operationId: 'get_profile', summary: 'Get a profile' })
  @ApiParam(ID)
  @ApiOkResponse({ type: ProfileResponse })
  @DocumentedErrors(404)
  async get(@Caller() principal: Principal, @Id() id: number): Promise<ProfileResponse> {
    return new ProfileResponse('Getting profile successful', await this.profiles.get(principal.organizationId, id));
  }

  @Delete(':id')
  @ApiOperation({ operationId: 'delete_profile', summary: 'Delete a profile' })
  @ApiParam(ID)
  @ApiOkResponse({ type: Envelope })
  @DocumentedErrors(404)
  async delete(@Caller() principal: Principal, @Id() id: number): Promise<Envelope> {
    await this.profiles.delete(principal, id);
    return new Envelope('Profile deleted successfully');
  }
}
