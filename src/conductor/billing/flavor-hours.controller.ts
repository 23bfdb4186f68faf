/** `/v1/usage`, an addition to Infrahub's API: hours of each virtual machine with each of its flavors, and the total. */
import { Controller, Get, Query, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { InjectConfig } from '../../config/config.module.js';
import type { Config } from '../../config/settings.js';
import { DocumentedErrors } from '../http/documented-errors.js';
import { ApiKeyGuard } from '../identity/api-key.strategy.js';
import { Caller, type Principal } from '../identity/principal.js';
import { HistoryQuery, historyPage } from './billing.requests.js';
import { FlavorHoursResponse } from './flavor-hours.responses.js';
import { UsageService } from './usage.service.js';
import { windowOf } from './window.js';

@ApiTags('Billing')
@UseGuards(ApiKeyGuard)
@Controller('v1/usage')
export class FlavorHoursController {
  constructor(
    private readonly usage: UsageService,
    @InjectConfig() private readonly config: Config,
  ) {}

  @Get()
  @ApiOperation({ operationId: 'get_flavor_hours', summary: 'Hours per virtual machine and flavor: running, stopped, hibernated' })
  @ApiOkResponse({ type: FlavorHoursResponse })
  @DocumentedErrors()
  async get(@Caller() { organizationId }: Principal, @Query() query: HistoryQuery): Promise<FlavorHoursResponse> {
    const window = windowOf(query);
    const page = historyPage(query);
    const found = await this.usage.list(organizationId, 'virtual-machine', { window, search: query.search, page });
    return new FlavorHoursResponse(this.config.currency, window, found, page);
  }
}
