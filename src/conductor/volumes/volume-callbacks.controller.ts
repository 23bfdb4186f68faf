/** A volume's callback: Infrahub's three operations. */
import { Body, Controller, Delete, HttpCode, Param, Post, Put, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { AttachCallbackPayload, AttachCallbackResponse } from '../callbacks/attach-callback.dto.js';
import { DocumentedErrors } from '../http/documented-errors.js';
import { Envelope } from '../http/envelope.js';
import { ResourceId } from '../http/resource-id.js';
import { ApiKeyGuard } from '../identity/api-key.strategy.js';
import { Caller, type Principal } from '../identity/principal.js';
import { VolumeCallbacks } from './volume-callbacks.js';
import { VOLUME } from './volume-lock.js';

const Id = (): ParameterDecorator => Param('volume_id', new ResourceId(VOLUME));
const ID = { name: 'volume_id', type: 'integer' } as const;

@Controller('v1/core/volumes/:volume_id')
@ApiTags('Callbacks')
@ApiParam(ID)
@UseGuards(ApiKeyGuard)
export class VolumeCallbacksController {
  constructor(private readonly callbacks: VolumeCallbacks) {}

  @Post('attach-callback')
  @HttpCode(200)
  @ApiOperation({ operationId: 'attach_callback_to_volume', summary: 'Set the callback of a volume that has none' })
  @ApiOkResponse({ type: AttachCallbackResponse })
  @DocumentedErrors(404)
  async attach(@Caller() principal: Principal, @Id() id: number, @Body() { url }: AttachCallbackPayload): Promise<AttachCallbackResponse> {
    return new AttachCallbackResponse(`Callback attached to volume ${await this.callbacks.attach(principal, id, url)}`, url);
  }

  @Put('update-callback')
  @ApiOperation({ operationId: 'update_volume_callback', summary: 'Replace the callback of a volume' })
  @ApiOkResponse({ type: AttachCallbackResponse })
  @DocumentedErrors(404)
  async update(@Caller() principal: Principal, @Id() id: number, @Body() { url }: AttachCallbackPayload): Promise<AttachCallbackResponse> {
    return new AttachCallbackResponse(`Callback of volume ${await this.callbacks.update(principal, id, url)} updated`, url);
  }

  @Delete('delete-callback')
  @ApiOperation({ operationId: 'delete_volume_callback', summary: 'Remove the callback of a volume' })
  @ApiOkResponse({ type: Envelope })
  @DocumentedErrors(404)
  async remove(@Caller() principal: Principal, @Id() id: number): Promise<Envelope> {
    return new Envelope(`Callback of volume ${await this.callbacks.remove(principal, id)} deleted`);
  }
}
