/** A VM's callback: Infrahub's three operations, by id and by name. */
import { Body, Controller, Delete, HttpCode, Param, Post, Put, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { VmId } from '../../protocol/ids.js';
import { AttachCallbackPayload, AttachCallbackResponse } from '../callbacks/attach-callback.dto.js';
import { Envelope } from '../http/envelope.js';
import { ResourceId } from '../http/resource-id.js';
import { ApiKeyGuard } from '../identity/api-key.strategy.js';
import { Caller, type Principal } from '../identity/principal.js';
import { VmCallbacks } from './vm-callbacks.js';

const vmId = new ResourceId('The virtual machine');

@Controller('v1/core/virtual-machines')
@ApiTags('Callbacks')
@UseGuards(ApiKeyGuard)
export class VmCallbacksController {
  constructor(private readonly callbacks: VmCallbacks) {}

  @Post(':vm_id/attach-callback')
  @HttpCode(200)
  @ApiOperation({ operationId: 'attach_callback_to_vm', summary: 'Set the callback of a virtual machine that has none' })
  @ApiOkResponse({ type: AttachCallbackResponse })
  async attach(
    @Caller() principal: Principal,
    @Param('vm_id', vmId) id: VmId,
    @Body() { url }: AttachCallbackPayload,
  ): Promise<AttachCallbackResponse> {
    return attached(await this.callbacks.attach(principal, { id }, url), url);
  }

  @Post(':environment/:name/attach-callback')
  @HttpCode(200)
  @ApiOperation({ operationId: 'attach_callback_to_vm_by_name', summary: 'Set the callback of a virtual machine, by its name' })
  @ApiOkResponse({ type: AttachCallbackResponse })
  async attachByName(
    @Caller() principal: Principal,
    @Param('environment') environment: string,
    @Param('name') name: string,
    @Body() { url }: AttachCallbackPayload,
  ): Promise<AttachCallbackResponse> {
    return attached(await this.callbacks.attach(principal, { environment, name }, url), url);
  }

  @Put(':vm_id/update-callback')
  @ApiOperation({ operationId: 'update_vm_callback', summary: 'Replace the callback of a virtual machine' })
  @ApiOkResponse({ type: AttachCallbackResponse })
  async update(
    @Caller() principal: Principal,
    @Param('vm_id', vmId) id: VmId,
    @Body() { url }: AttachCallbackPayload,
  ): Promise<AttachCallbackResponse> {
    return updated(await this.callbacks.update(principal, { id }, url), url);
  }

  @Put(':environment/:name/update-callback')
  @ApiOperation({ operationId: 'update_vm_callback_by_name', summary: 'Replace the callback of a virtual machine, by its name' })
  @ApiOkResponse({ type: AttachCallbackResponse })
  async updateByName(
    @Caller() principal: Principal,
    @Param('environment') environment: string,
    @Param('name') name: string,
    @Body() { url }: AttachCallbackPayload,
  ): Promise<AttachCallbackResponse> {
    return updated(await this.callbacks.update(principal, { environment, name }, url), url);
  }

  @Delete(':vm_id/delete-callback')
  @ApiOperation({ operationId: 'delete_vm_callback', summary: 'Remove the callback of a virtual machine' })
  @ApiOkResponse({ type: Envelope })
  async remove(@Caller() principal: Principal, @Param('vm_id', vmId) id: VmId): Promise<Envelope> {
    return new Envelope(`Callback of VM ${await this.callbacks.remove(principal, { id })} deleted`);
  }

  @Delete(':environment/:name/delete-callback')
  @ApiOperation({ operationId: 'delete_vm_callback_by_name', summary: 'Remove the callback of a virtual machine, by its name' })
  @ApiOkResponse({ type: Envelope })
  async removeByName(
    @Caller() principal: Principal,
    @Param('environment') environment: string,
    @Param('name') name: string,
  ): Promise<Envelope> {
    return new Envelope(`Callback of VM ${await this.callbacks.remove(principal, { environment, name })} deleted`);
  }
}

const attached = (name: string, url: string): AttachCallbackResponse => new AttachCallbackResponse(`Callback attached to VM ${name}`, url);
const updated = (name: string, url: string): AttachCallbackResponse => new AttachCallbackResponse(`Callback of VM ${name} updated`, url);
