/** Volumes of virtual machines: answered at once, carried out by the worker later. */
import { Body, Controller, HttpCode, Param, Patch, Post, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import type { VmId } from '../../protocol/ids.js';
import { DocumentedErrors } from '../http/documented-errors.js';
import { ResourceId } from '../http/resource-id.js';
import { ApiKeyGuard } from '../identity/api-key.strategy.js';
import { Caller, type Principal } from '../identity/principal.js';
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
  async attach(
    @Caller() principal: Principal,
    @Param('vm_id', vmId) id: VmId,
    @Body() body: AttachVolumesPayload,
  ): Promise<AttachmentsResponse> {
    const attachments = await this.attachments.attach(principal, id, body.volume_ids, body.protected ?? false);
    return new AttachmentsResponse('Attaching volumes', attachments);
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
    return new AttachmentsResponse('Detaching volumes', await this.attachments.detach(principal, id, body.volume_ids));
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
}
