/** Snapshots as an action of virtual machines: by id as Infrahub has it, by name, and by label for all that carry it. */
import { Body, Controller, HttpCode, Param, Post, UseGuards } from '@nestjs/common';
import { ApiCreatedResponse, ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import type { VmId } from '../../protocol/ids.js';
import { DocumentedErrors } from '../http/documented-errors.js';
import { ResourceId } from '../http/resource-id.js';
import { ApiKeyGuard } from '../identity/api-key.strategy.js';
import { Caller, type Principal } from '../identity/principal.js';
import { LabelActionResponse } from '../virtual-machines/vm.responses.js';
import { SnapshotCreation } from './snapshot-creation.js';
import { CreateSnapshotPayload } from './snapshot.requests.js';
import { CreateSnapshotResponse } from './snapshot.responses.js';

@ApiTags('Snapshots')
@UseGuards(ApiKeyGuard)
@Controller('v1/core/virtual-machines')
export class VmSnapshotsController {
  constructor(private readonly creation: SnapshotCreation) {}

  @Post(':vm_id/snapshots')
  @HttpCode(201)
  @ApiOperation({ operationId: 'create_snapshot_for_vm', summary: "Copy a virtual machine's disk as it is now; a guest that runs goes on running" })
  @ApiParam({ name: 'vm_id', type: 'integer' })
  @ApiCreatedResponse({ type: CreateSnapshotResponse })
  @DocumentedErrors(404, 409)
  async byId(
    @Caller() principal: Principal,
    @Param('vm_id', new ResourceId('The virtual machine')) id: VmId,
    @Body() body: CreateSnapshotPayload,
  ): Promise<CreateSnapshotResponse> {
    return new CreateSnapshotResponse(await this.creation.ofOne(principal, { id }, body));
  }

  @Post(':environment/labels/:label/snapshots')
  @HttpCode(200)
  @ApiOperation({
    operationId: 'create_snapshots_by_label',
    summary: 'Snapshots of the virtual machines that carry a label, each named NAME-VM',
  })
  @ApiOkResponse({ type: LabelActionResponse })
  @DocumentedErrors(404)
  byLabel(
    @Caller() principal: Principal,
    @Param('environment') environment: string,
    @Param('label') label: string,
    @Body() body: CreateSnapshotPayload,
  ): Promise<LabelActionResponse> {
    return this.creation.ofLabelled(principal, environment, label, body);
  }

  @Post(':environment/:name/snapshots')
  @HttpCode(201)
  @ApiOperation({ operationId: 'create_snapshot_by_name', summary: 'Copy the disk of a virtual machine, by its name' })
  @ApiCreatedResponse({ type: CreateSnapshotResponse })
  @DocumentedErrors(404, 409)
  async byName(
    @Caller() principal: Principal,
    @Param('environment') environment: string,
    @Param('name') name: string,
    @Body() body: CreateSnapshotPayload,
  ): Promise<CreateSnapshotResponse> {
    return new CreateSnapshotResponse(await this.creation.ofOne(principal, { environment, name }, body));
  }
}
