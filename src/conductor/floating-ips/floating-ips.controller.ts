/** The floating IP of a VM, attached and detached. */
import { Controller, HttpCode, Param, Post, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import type { VmId } from '../../protocol/ids.js';
import { DocumentedErrors } from '../http/documented-errors.js';
import { Envelope } from '../http/envelope.js';
import { ResourceId } from '../http/resource-id.js';
import { ApiKeyGuard } from '../identity/api-key.strategy.js';
import { Caller, type Principal } from '../identity/principal.js';
import { FloatingIpsService } from './floating-ips.service.js';

const vmId = new ResourceId('The virtual machine');

@ApiTags('Floating IPs')
@UseGuards(ApiKeyGuard)
@Controller('v1/core/virtual-machines')
export class FloatingIpsController {
  constructor(private readonly floatingIps: FloatingIpsService) {}

  @Post(':vm_id/attach-floatingip')
  @HttpCode(200)
  @ApiOperation({ operationId: 'attach_public_ipto_vm', summary: 'Attach a floating IP to a virtual machine' })
  @ApiParam({ name: 'vm_id', type: 'integer' })
  @ApiOkResponse({ type: Envelope })
  @DocumentedErrors(404, 409)
  async attach(@Caller() principal: Principal, @Param('vm_id', vmId) id: VmId): Promise<Envelope> {
    return new Envelope(`Attaching a floating IP to VM ${await this.floatingIps.attach(principal, id)}`);
  }

  @Post(':vm_id/detach-floatingip')
  @HttpCode(200)
  @ApiOperation({ operationId: 'detach_public_ip_from_vm', summary: 'Detach the floating IP of a virtual machine' })
  @ApiParam({ name: 'vm_id', type: 'integer' })
  @ApiOkResponse({ type: Envelope })
  @DocumentedErrors(404)
  async detach(@Caller() principal: Principal, @Param('vm_id', vmId) id: VmId): Promise<Envelope> {
    return new Envelope(`Detaching the floating IP of VM ${await this.floatingIps.detach(principal, id)}`);
  }
}
