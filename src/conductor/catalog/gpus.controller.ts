/** `/v1/core/gpus` and `/v1/core/stocks`. */
import { Controller, Get, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { DocumentedErrors } from '../http/documented-errors.js';
import { ApiKeyGuard } from '../identity/api-key.strategy.js';
import { GpusResponse } from './gpu.responses.js';
import { GpusService } from './gpus.service.js';
import { StocksResponse } from './stock.responses.js';

@ApiTags('Gpu')
@UseGuards(ApiKeyGuard)
@Controller('v1/core')
export class GpusController {
  constructor(private readonly gpus: GpusService) {}

  @Get('gpus')
  @ApiOperation({ operationId: 'list_gpus', summary: 'List the GPU models that flavors offer' })
  @ApiOkResponse({ type: GpusResponse })
  @DocumentedErrors()
  async list(): Promise<GpusResponse> {
    return new GpusResponse(await this.gpus.list());
  }

  @Get('stocks')
  @ApiOperation({ operationId: 'get_gpu_stock', summary: 'How many GPUs are free, by region and model' })
  @ApiOkResponse({ type: StocksResponse })
  @DocumentedErrors()
  async stocks(): Promise<StocksResponse> {
    return new StocksResponse(await this.gpus.stocks());
  }
}
