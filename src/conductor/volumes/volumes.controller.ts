/** `/v1/core/volumes` and, as Infrahub has it, `/v1/core/volume-types` and `/v1/core/volume/name-availability/{name}`. */
import { Body, Controller, Delete, Get, HttpCode, Param, Patch, Post, Put, Query, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { DocumentedErrors } from '../http/documented-errors.js';
import { Envelope } from '../http/envelope.js';
import { NameAvailability } from '../http/name-availability.js';
import { pageOf } from '../http/page-query.js';
import { ResourceId } from '../http/resource-id.js';
import { ApiKeyGuard } from '../identity/api-key.strategy.js';
import { Caller, type Principal } from '../identity/principal.js';
import { CreateVolumePayload, ListVolumes, UpdateVolumePayload } from './volume.requests.js';
import { VolumeResponse, VolumesResponse, VolumeTypesResponse, VolumeUpdatedResponse } from './volume.responses.js';
import { VOLUME } from './volume-lock.js';
import { VolumesService } from './volumes.service.js';

const Id = (): ParameterDecorator => Param('volume_id', new ResourceId(VOLUME));
const ID = { name: 'volume_id', type: 'integer' } as const;

@ApiTags('Volume')
@UseGuards(ApiKeyGuard)
@Controller('v1/core')
export class VolumesController {
  constructor(private readonly volumes: VolumesService) {}

  @Get('volume-types')
  @ApiOperation({ operationId: 'list_volume_types', summary: 'List the types of volumes' })
  @ApiOkResponse({ type: VolumeTypesResponse })
  @DocumentedErrors()
  types(): VolumeTypesResponse {
    return new VolumeTypesResponse('Getting volume types successful');
  }

  @Get('volume/name-availability/:name')
  @ApiOperation({ operationId: 'fetch_volume_name_availability', summary: 'Whether a name is free for a volume' })
  @ApiOkResponse({ type: NameAvailability })
  @DocumentedErrors()
  nameAvailability(@Caller() principal: Principal, @Param('name') name: string): Promise<NameAvailability> {
    return this.volumes.nameAvailability(principal.organizationId, name);
  }

  @Get('volumes')
  @ApiOperation({ operationId: 'list_volumes', summary: 'List volumes' })
  @ApiOkResponse({ type: VolumesResponse })
  @DocumentedErrors()
  async list(@Caller() principal: Principal, @Query() query: ListVolumes): Promise<VolumesResponse> {
    const page = pageOf(query);
    const { volumes, count } = await this.volumes.list(principal.organizationId, query, page);
    return new VolumesResponse(volumes, count, page);
  }

  @Post('volumes')
  @HttpCode(200)
  @ApiOperation({ operationId: 'create_volume', summary: 'Create a volume' })
  @ApiOkResponse({ type: VolumeResponse })
  @DocumentedErrors(404, 409)
  async create(@Caller() principal: Principal, @Body() body: CreateVolumePayload): Promise<VolumeResponse> {
    return new VolumeResponse('Volume created successfully', await this.volumes.create(principal, body));
  }

  @Get('volumes/:volume_id')
  @ApiOperation({ operationId: 'get_volume', summary: 'Show a volume' })
  @ApiParam(ID)
  @ApiOkResponse({ type: VolumeResponse })
  @DocumentedErrors(404)
  async get(@Caller() principal: Principal, @Id() id: number): Promise<VolumeResponse> {
    return new VolumeResponse('Getting volume detail successful', await this.volumes.get(principal.organizationId, id));
  }

  @Patch('volumes/:volume_id')
  @ApiOperation({ operationId: 'update_volume', summary: 'Move a volume to another environment, or make it larger' })
  @ApiParam(ID)
  @ApiOkResponse({ type: VolumeUpdatedResponse })
  @DocumentedErrors(404, 409)
  async update(
    @Caller() principal: Principal,
    @Id() id: number,
    @Body() body: UpdateVolumePayload,
  ): Promise<VolumeUpdatedResponse> {
    return new VolumeUpdatedResponse('Volume updated successfully', await this.volumes.change(principal, id, body), { ...body });
  }

  @Put('volumes/:volume_id')
  @ApiOperation({ operationId: 'update_volume_by_put', summary: 'Move a volume or make it larger: another spelling of PATCH' })
  @ApiParam(ID)
  @ApiOkResponse({ type: VolumeUpdatedResponse })
  @DocumentedErrors(404, 409)
  replace(
    @Caller() principal: Principal,
    @Id() id: number,
    @Body() body: UpdateVolumePayload,
  ): Promise<VolumeUpdatedResponse> {
    return this.update(principal, id, body);
  }

  @Delete('volumes/:volume_id')
  @ApiOperation({ operationId: 'delete_volume', summary: 'Delete a volume that is not attached, with what is on it' })
  @ApiParam(ID)
  @ApiOkResponse({ type: Envelope })
  @DocumentedErrors(404)
  async delete(@Caller() principal: Principal, @Id() id: number): Promise<Envelope> {
    await this.volumes.delete(principal, id);
    return new Envelope('Volume deleted successfully');
  }
}
