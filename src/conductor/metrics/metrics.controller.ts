/** Metrics of a VM, by id as Infrahub has them, and by name. */
import { Controller, Get, Param, Query, UseGuards } from '@nestjs/common';
import { ApiExtraModels, ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { VmId } from '../../protocol/ids.js';
import { DocumentedErrors } from '../http/documented-errors.js';
import { ResourceId } from '../http/resource-id.js';
import { ApiKeyGuard } from '../identity/api-key.strategy.js';
import { Caller, type Principal } from '../identity/principal.js';
import { METRIC_SCHEMAS, MetricsFields, MetricsQuery, renderMetrics } from './metrics.dto.js';
import { Metrics, type MetricsSelector } from './metrics.service.js';

@ApiTags('Virtual machines')
@ApiExtraModels(...METRIC_SCHEMAS)
@UseGuards(ApiKeyGuard)
@Controller('v1/core/virtual-machines')
export class MetricsController {
  constructor(private readonly metrics: Metrics) {}

  @Get(':vm_id/metrics')
  @ApiOperation({ operationId: 'get_vm_metrics', summary: 'What a virtual machine has used' })
  @ApiOkResponse({ type: MetricsFields })
  @DocumentedErrors(404)
  byId(
    @Caller() principal: Principal,
    @Param('vm_id', new ResourceId('The virtual machine')) id: VmId,
    @Query() query: MetricsQuery,
  ): Promise<MetricsFields> {
    return this.answer(principal, { id }, query);
  }

  @Get(':environment/:name/metrics')
  @ApiOperation({ operationId: 'get_vm_metrics_by_name', summary: 'What a virtual machine, by its name, has used' })
  @ApiOkResponse({ type: MetricsFields })
  @DocumentedErrors(404)
  byName(
    @Caller() principal: Principal,
    @Param('environment') environment: string,
    @Param('name') name: string,
    @Query() query: MetricsQuery,
  ): Promise<MetricsFields> {
    return this.answer(principal, { environment, name }, query);
  }

  private async answer({ organizationId }: Principal, selector: MetricsSelector, { duration = '1h' }: MetricsQuery): Promise<MetricsFields> {
    const { granularity, rows } = await this.metrics.of(organizationId, selector, duration);
    return renderMetrics(granularity, rows);
  }
}
