/** `/v1/core/environments/{id}/vm-quota`. */
import { Controller, Get, Param, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { DocumentedErrors } from '../http/documented-errors.js';
import { ResourceId } from '../http/resource-id.js';
import { ApiKeyGuard } from '../identity/api-key.strategy.js';
import { Caller, type Principal } from '../identity/principal.js';
import { VmQuota } from './quota.responses.js';
import { QuotasService } from './quotas.service.js';

@ApiTags('Environment')
@UseGuards(ApiKeyGuard)
@Controller('v1/core/environments')
export class QuotasController {
  constructor(private readonly quotas: QuotasService) {}

  @Get(':id/vm-quota')
  @ApiOperation({ operationId: 'get_environment_vm_quota', summary: 'Show how many more VMs there may be' })
  @ApiParam({ name: 'id', type: 'integer' })
  @ApiOkResponse({ type: VmQuota })
  @DocumentedErrors(403, 404)
  vmQuota(@Caller() principal: Principal, @Param('id', new ResourceId('The environment')) id: number): Promise<VmQuota> {
    return this.quotas.vmQuota(principal.organizationId, id);
  }
}
