/** Webhooks as their owner sees them: the secrets to verify them by, the log of deliveries, and replay. */
import { Controller, Get, HttpCode, Param, Post, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { isUUID } from 'class-validator';
import { notFound } from '../http/api-error.js';
import { ResourceId } from '../http/resource-id.js';
import { ApiKeyGuard } from '../identity/api-key.strategy.js';
import { Caller, type Principal } from '../identity/principal.js';
import { CallbackDeliveriesResponse, CallbackDeliveryResponse, SigningSecretsResponse } from './callbacks.responses.js';
import { CallbacksService } from './callbacks.service.js';
import { SigningSecretsService } from './signing-secrets.service.js';

/** Beyond PostgreSQL's integer there is no VM. */
const LAST_ID = 2_147_483_647;

@ApiTags('Callbacks')
@UseGuards(ApiKeyGuard)
@Controller('v1/core')
export class CallbacksController {
  constructor(
    private readonly callbacks: CallbacksService,
    private readonly secrets: SigningSecretsService,
  ) {}

  @Get('callbacks/signing-secrets')
  @ApiOperation({ summary: 'The secrets that callbacks are signed with', operationId: 'getCallbackSigningSecrets' })
  @ApiOkResponse({ type: SigningSecretsResponse })
  async signingSecrets(@Caller() caller: Principal): Promise<SigningSecretsResponse> {
    const secrets = await this.secrets.valid(caller.organizationId);
    return new SigningSecretsResponse('Getting signing secrets successful', secrets);
  }

  @Post('callbacks/signing-secrets/rotate')
  @HttpCode(200)
  @ApiOperation({
    summary: 'Make a new signing secret',
    description: 'The old one stays valid for 24 hours; until then callbacks carry a signature by each.',
    operationId: 'rotateCallbackSigningSecret',
  })
  @ApiOkResponse({ type: SigningSecretsResponse })
  async rotate(@Caller() caller: Principal): Promise<SigningSecretsResponse> {
    return new SigningSecretsResponse('The signing secret was rotated', await this.secrets.rotate(caller));
  }

  @Get('virtual-machines/:vm_id/callback-deliveries')
  @ApiOperation({ summary: "A virtual machine's callbacks and how they went", operationId: 'listCallbackDeliveries' })
  @ApiOkResponse({ type: CallbackDeliveriesResponse })
  async deliveries(@Caller() caller: Principal, @Param('vm_id') vmId: string): Promise<CallbackDeliveriesResponse> {
    const id = Number(vmId);
    if (id > LAST_ID) throw notFound(`Virtual machine ${vmId}`);
    const rows = await this.callbacks.deliveriesOf(caller.organizationId, 'virtual-machine', id);
    return new CallbackDeliveriesResponse('Getting callback deliveries successful', rows);
  }

  @Get('volumes/:volume_id/callback-deliveries')
  @ApiOperation({ summary: "A volume's callbacks and how they went", operationId: 'listVolumeCallbackDeliveries' })
  @ApiOkResponse({ type: CallbackDeliveriesResponse })
  async volumeDeliveries(
    @Caller() caller: Principal,
    @Param('volume_id', new ResourceId('The volume')) id: number,
  ): Promise<CallbackDeliveriesResponse> {
    const rows = await this.callbacks.deliveriesOf(caller.organizationId, 'volume', id);
    return new CallbackDeliveriesResponse('Getting callback deliveries successful', rows);
  }

  @Post('callbacks/deliveries/:id/replay')
  @HttpCode(200)
  @ApiOperation({ summary: 'Send a callback once more', operationId: 'replayCallbackDelivery' })
  @ApiOkResponse({ type: CallbackDeliveryResponse })
  async replay(@Caller() caller: Principal, @Param('id') id: string): Promise<CallbackDeliveryResponse> {
    if (!isUUID(id)) throw notFound('Callback delivery');
    return new CallbackDeliveryResponse('The callback is sent again', await this.callbacks.replay(caller, id));
  }
}
