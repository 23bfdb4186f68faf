/** `/v1/core/regions`. */
import { Controller, Get, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { DocumentedErrors } from '../http/documented-errors.js';
import { ApiKeyGuard } from '../identity/api-key.strategy.js';
import { RegionsResponse } from './region.responses.js';
import { RegionsService } from './regions.service.js';

@ApiTags('Region')
@UseGuards(ApiKeyGuard)
@Controller('v1/core/regions')
export class RegionsController {
  constructor(private readonly regions: RegionsService) {}

  @Get()
  @ApiOperation({ operationId: 'list_regions', summary: 'List regions' })
  @ApiOkResponse({ type: RegionsResponse })
  @DocumentedErrors()
  async list(): Promise<RegionsResponse> {
    return new RegionsResponse(await this.regions.list());
  }
}
