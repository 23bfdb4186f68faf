/** Volumes of virtual machines: answered at once, carried out by the worker later. */
import { Body, Controller, HttpCode, Param, Patch, Post, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import type { VmId } from '../../protocol/ids.js';
import { DocumentedErrors } from '../http/documented-errors.js';
import { ResourceId } from '../http/resource-id.js';
import { ApiKeyGuard } from '../identity/api-key.strategy.js';
import { Caller, type Principal } from '../identity/principal.js';
import type { VmSelector } from '../virtual-machines/vm-wishes.js';
import { LabelActionResponse } from '../virtual-machines/vm.responses.js';
import { VolumeAttachments } from './volume-attachments.js';
import { AttachVolumesPayload, DetachVolumesPayload, UpdateVolumeAttachmentPayload } from './volume.requests.js';
import { AttachmentsResponse, AttachmentUpdatedResponse } from './volume.responses.js';

const vmId = new ResourceId('The virtual machine');
const attachmentId = new ResourceId('The volume attachment');
const VM_ID = { name: 'vm_id', type: 'integer' } as const;

@ApiTags('VolumeAttachment')
@UseGuards(ApiKeyGuard)
@Controller('v1/core')
export class VolumeAttachmentsController {
  constructor(private readonly attachments: VolumeAttachments) {}

  @Post('virtual-machines/:vm_id/attach-volumes')
  @HttpCode(200)
  @ApiOperation({ operationId: 'attach_volumes_to_vm', summary: 'Attach volumes to a virtual machine' })
  @ApiParam(VM_ID)
  @ApiOkResponse({ type: AttachmentsResponse })
  @DocumentedErrors(404, 409)
  attach(@Caller() principal: Principal, @Param('vm_id', vmId) id: VmId, @Body() body: AttachVolumesPayload): Promise<AttachmentsResponse> {
    return this.attachTo(principal, { id }, body);
  }

  @Post('virtual-machines/:environment/:name/attach-volumes')
  @HttpCode(200)
  @ApiOperation({ operationId: 'attach_volumes_to_vm_by_name', summary: 'Attach volumes to a virtual machine, by its name' })
  @ApiOkResponse({ type: AttachmentsResponse })
  @DocumentedErrors(404, 409)
  attachByName(
    @Caller() principal: Principal,
    @Param('environment') environment: string,
    @Param('name') name: string,
    @Body() body: AttachVolumesPayload,
  ): Promise<AttachmentsResponse> {
    return this.attachTo(principal, { environment, name }, body);
  }

  @Post('virtual-machines/:environment/labels/:label/attach-volumes')
  @HttpCode(200)
  @ApiOperation({ operationId: 'attach_volumes_to_vm_by_label', summary: 'Attach volumes to the one virtual machine with a label' })
  @ApiOkResponse({ type: AttachmentsResponse })
  @DocumentedErrors(404, 409)
  attachByLabel(
    @Caller() principal: Principal,
    @Param('environment') environment: string,
    @Param('label') label: string,
    @Body() body: AttachVolumesPayload,
  ): Promise<AttachmentsResponse> {
    return this.attachTo(principal, { environment, label }, body);
  }

  @Post('virtual-machines/:vm_id/detach-volumes')
  @HttpCode(200)
  @ApiOperation({ operationId: 'detach_volumes_from_vm', summary: 'Detach volumes from a virtual machine' })
  @ApiParam(VM_ID)
  @ApiOkResponse({ type: AttachmentsResponse })
  @DocumentedErrors(404)
  async detach(
    @Caller() principal: Principal,
    @Param('vm_id', vmId) id: VmId,
    @Body() body: DetachVolumesPayload,
  ): Promise<AttachmentsResponse> {
    return new AttachmentsResponse('Detaching volumes', await this.attachments.detach(principal, { id }, body.volume_ids));
  }

  @Post('virtual-machines/:environment/:name/detach-volumes')
  @HttpCode(200)
  @ApiOperation({ operationId: 'detach_volumes_from_vm_by_name', summary: 'Detach volumes from a virtual machine, by its name' })
  @ApiOkResponse({ type: AttachmentsResponse })
  @DocumentedErrors(404)
  async detachByName(
    @Caller() principal: Principal,
    @Param('environment') environment: string,
    @Param('name') name: string,
    @Body() body: DetachVolumesPayload,
  ): Promise<AttachmentsResponse> {
    return new AttachmentsResponse('Detaching volumes', await this.attachments.detach(principal, { environment, name }, body.volume_ids));
  }

  @Post('virtual-machines/:environment/labels/:label/detach-volumes')
  @HttpCode(200)
  @ApiOperation({ operationId: 'detach_volumes_from_vms_by_label', summary: 'Detach volumes from the virtual machines with a label' })
  @ApiOkResponse({ type: LabelActionResponse })
  @DocumentedErrors(404)
  detachByLabel(
    @Caller() principal: Principal,
    @Param('environment') environment: string,
    @Param('label') label: string,
    @Body() body: DetachVolumesPayload,
  ): Promise<LabelActionResponse> {
    return this.attachments.detachLabelled(principal, environment, label, body.volume_ids);
  }

  @Patch('volume-attachments/:volume_attachment_id')
  @ApiOperation({ operationId: 'update_volume_attachment', summary: 'Protect an attachment from being detached, or no longer' })
  @ApiParam({ name: 'volume_attachment_id', type: 'integer' })
  @ApiOkResponse({ type: AttachmentUpdatedResponse })
  @DocumentedErrors(404)
  async update(
    @Caller() principal: Principal,
    @Param('volume_attachment_id', attachmentId) id: number,
    @Body() body: UpdateVolumeAttachmentPayload,
  ): Promise<AttachmentUpdatedResponse> {
    const attachment = await this.attachments.protect(principal, id, body.protected);
    return new AttachmentUpdatedResponse('Volume attachment updated successfully', attachment);
  }

  private async attachTo(principal: Principal, selector: VmSelector, body: AttachVolumesPayload): Promise<AttachmentsResponse> {
    const attachments = await this.attachments.attach(principal, selector, body.volume_ids, body.protected ?? false);
    return new AttachmentsResponse('Attaching volumes', attachments);
  }
}
