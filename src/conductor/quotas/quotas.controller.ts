/** `/v1/core/environments/{id}/vm-quota`, which Infrahub has, and `…/quota`, which is ours. */
import { Body, Controller, Get, Param, Put, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { DocumentedErrors } from '../http/documented-errors.js';
import { ResourceId } from '../http/resource-id.js';
import { ApiKeyGuard } from '../identity/api-key.strategy.js';
import { Caller, type Principal } from '../identity/principal.js';
import { SetEnvironmentQuota } from './quota.requests.js';
import { EnvironmentQuotaResponse, VmQuota } from './quota.responses.js';
import { QuotasService } from './quotas.service.js';

const Id = (): ParameterDecorator => Param('id', new ResourceId('The environment'));
const ID = { name: 'id', type: 'integer' } as const;

@ApiTags('Environment')
@UseGuards(ApiKeyGuard)
@Controller('v1/core/environments')
export class QuotasController {
  constructor(private readonly quotas: QuotasService) {}

  @Get(':id/vm-quota')
  @ApiOperation({ operationId: 'get_environment_vm_quota', summary: 'Show how many more VMs there may be' })
  @ApiParam(ID)
  @ApiOkResponse({ type: VmQuota })
  @DocumentedErrors(403, 404)
  vmQuota(@Caller() principal: Principal, @Id() id: number): Promise<VmQuota> {
    return this.quotas.vmQuota(principal.organizationId, id);
  }

  @Get(':id/quota')
  @ApiOperation({ operationId: 'get_environment_quota', summary: 'Show how much an environment has and may have' })
  @ApiParam(ID)
  @ApiOkResponse({ type: EnvironmentQuotaResponse })
  @DocumentedErrors(403, 404)
  async quota(@Caller() principal: Principal, @Id() id: number): Promise<EnvironmentQuotaResponse> {
    const quota = await this.quotas.ofEnvironment(principal.organizationId, id);
    return new EnvironmentQuotaResponse('Getting environment quota successful', quota);
  }

  @Put(':id/quota')
  @ApiOperation({ operationId: 'update_environment_quota', summary: 'Set how much an environment may have' })
  @ApiParam(ID)
  @ApiOkResponse({ type: EnvironmentQuotaResponse })
  @DocumentedErrors(403, 404)
  async setQuota(@Caller() principal: Principal, @Id() id: number, @Body() limits: SetEnvironmentQuota): Promise<EnvironmentQuotaResponse> {
    const quota = await this.quotas.setOfEnvironment(principal, id, limits);
    return new EnvironmentQuotaResponse('Environment quota updated successfully', quota);
  }
}
