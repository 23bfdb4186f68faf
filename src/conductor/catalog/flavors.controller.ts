/** `/v1/core/flavors`. */
import { Controller, Get, Query, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { DocumentedErrors } from '../http/documented-errors.js';
import { ApiKeyGuard } from '../identity/api-key.strategy.js';
import { FlavorsResponse } from './flavor.responses.js';
import { FlavorsService } from './flavors.service.js';
import { RegionFilter } from './region-filter.js';

@ApiTags('Flavor')
@UseGuards(ApiKeyGuard)
@Controller('v1/core/flavors')
export class FlavorsController {
  constructor(private readonly flavors: FlavorsService) {}

  @Get()
  @ApiOperation({ operationId: 'list_flavors', summary: 'List flavors, grouped by region and GPU' })
  @ApiOkResponse({ type: FlavorsResponse })
  @DocumentedErrors(404)
  async list(@Query() query: RegionFilter): Promise<FlavorsResponse> {
    return new FlavorsResponse(await this.flavors.list(query.region));
  }
}
