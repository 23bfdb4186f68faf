/** `/v1/core/snapshots`. How one is asked for is an action of VMs: `vm-snapshots.controller.ts`. */
import { Body, Controller, Delete, Get, Headers, HttpCode, Param, Post, Query, UseGuards } from '@nestjs/common';
import { ApiHeader, ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { DocumentedErrors } from '../http/documented-errors.js';
import { Envelope } from '../http/envelope.js';
import { NameAvailability } from '../http/name-availability.js';
import { pageOf, SearchQuery } from '../http/page-query.js';
import { ResourceId } from '../http/resource-id.js';
import { Idempotency } from '../idempotency/idempotency.js';
import { ApiKeyGuard } from '../identity/api-key.strategy.js';
import { Caller, type Principal } from '../identity/principal.js';
import { SnapshotImages } from './snapshot-images.js';
import { SnapshotRestoring } from './snapshot-restoring.js';
import { CreateImagePayload, SnapshotRestoreRequest } from './snapshot.requests.js';
import {
  CreateImageResponse,
  RestoredInstanceResponse,
  SnapshotEventsResponse,
  SnapshotResponse,
  SnapshotsResponse,
} from './snapshot.responses.js';
import { SNAPSHOT, SnapshotsService } from './snapshots.service.js';

const Id = (): ParameterDecorator => Param('id', new ResourceId(SNAPSHOT));
const ID = { name: 'id', type: 'integer' } as const;

@ApiTags('Snapshots')
@UseGuards(ApiKeyGuard)
@Controller('v1/core/snapshots')
export class SnapshotsController {
  constructor(
    private readonly snapshots: SnapshotsService,
    private readonly restoring: SnapshotRestoring,
    private readonly images: SnapshotImages,
    private readonly idempotency: Idempotency,
  ) {}

  @Get()
  @ApiOperation({ operationId: 'list_snapshots', summary: 'List snapshots, found by name or id' })
  @ApiOkResponse({ type: SnapshotsResponse })
  @DocumentedErrors()
  async list(@Caller() principal: Principal, @Query() query: SearchQuery): Promise<SnapshotsResponse> {
    const page = pageOf(query);
    const { snapshots, count } = await this.snapshots.list(principal.organizationId, query, page);
    return new SnapshotsResponse(snapshots, count, page);
  }

  @Get('name-availability/:name')
  @ApiOperation({ operationId: 'fetch_snapshot_name_availability', summary: 'Whether a name is free for a snapshot' })
  @ApiOkResponse({ type: NameAvailability })
  @DocumentedErrors()
  nameAvailability(@Caller() principal: Principal, @Param('name') name: string): Promise<NameAvailability> {
    return this.snapshots.nameAvailability(principal.organizationId, name);
  }

  @Get(':id')
  @ApiOperation({ operationId: 'get_snapshot', summary: 'Show a snapshot' })
  @ApiParam(ID)
  @ApiOkResponse({ type: SnapshotResponse })
  @DocumentedErrors(404)
  async get(@Caller() principal: Principal, @Id() id: number): Promise<SnapshotResponse> {
    return new SnapshotResponse(await this.snapshots.get(principal.organizationId, id));
  }

  @Delete(':id')
  @ApiOperation({ operationId: 'delete_snapshot', summary: 'Delete a snapshot, and the image that was made of it' })
  @ApiParam(ID)
  @ApiOkResponse({ type: Envelope })
  @DocumentedErrors(404, 409)
  async delete(@Caller() principal: Principal, @Id() id: number): Promise<Envelope> {
    await this.snapshots.delete(principal, id);
    return new Envelope('Deleting snapshot');
  }

  @Get(':id/events')
  @ApiOperation({ operationId: 'list_snapshot_events', summary: 'What happened to a snapshot, oldest first' })
  @ApiParam(ID)
  @ApiOkResponse({ type: SnapshotEventsResponse })
  @DocumentedErrors(404)
  async events(@Caller() principal: Principal, @Id() id: number): Promise<SnapshotEventsResponse> {
    return new SnapshotEventsResponse(await this.snapshots.events(principal.organizationId, id));
  }

  @Post(':id/restore')
  @HttpCode(200)
  @ApiOperation({ operationId: 'restore_snapshot', summary: 'Make a virtual machine that has the disk of a snapshot' })
  @ApiHeader({ name: 'Idempotency-Key', required: false, description: 'The same key and body get the same answer.' })
  @ApiParam(ID)
  @ApiOkResponse({ type: RestoredInstanceResponse })
  @DocumentedErrors(404, 409)
  async restore(
    @Caller() principal: Principal,
    @Id() id: number,
    @Body() body: SnapshotRestoreRequest,
    @Headers('idempotency-key') key?: string,
  ): Promise<RestoredInstanceResponse> {
    const idempotent = this.idempotency.read(key, `restore snapshot ${id}`, body);
    return new RestoredInstanceResponse(await this.restoring.restore(principal, id, body.new_vm_name, idempotent));
  }

  @Post(':id/image')
  @HttpCode(200)
  @ApiOperation({ operationId: 'create_custom_image', summary: 'Make a private image of a snapshot' })
  @ApiParam(ID)
  @ApiOkResponse({ type: CreateImageResponse })
  @DocumentedErrors(404, 409)
  async image(@Caller() principal: Principal, @Id() id: number, @Body() body: CreateImagePayload): Promise<CreateImageResponse> {
    return new CreateImageResponse(await this.images.make(principal, id, body));
  }
}
