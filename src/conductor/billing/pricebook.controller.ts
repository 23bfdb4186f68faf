/** `/v1/pricebook`: what things cost, and what something costs that is there. */
import { Controller, Get, Param, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { DataSource } from 'typeorm';
import { notFound } from '../http/api-error.js';
import { DocumentedErrors } from '../http/documented-errors.js';
import { ResourceId } from '../http/resource-id.js';
import { ApiKeyGuard } from '../identity/api-key.strategy.js';
import { Caller, type Principal } from '../identity/principal.js';
import { VOLUME_TYPES } from '../volumes/volume.requests.js';
import { PriceFields } from './billing.responses.js';
import { CalculatedBillResponse } from './organization-usage.responses.js';
import { priceBook } from './price-book.js';
import { UsageService, type ResourceKind } from './usage.service.js';

const KINDS: ReadonlyMap<string, ResourceKind> = new Map([
  ['vm', 'virtual-machine'],
  ['virtual-machine', 'virtual-machine'],
  ['volume', 'volume'],
]);

@ApiTags('Pricebook')
@UseGuards(ApiKeyGuard)
@Controller('v1/pricebook')
export class PricebookController {
  constructor(
    private readonly dataSource: DataSource,
    private readonly usage: UsageService,
  ) {}

  @Get()
  @ApiOperation({ operationId: 'get_pricebook', summary: 'What everything on offer costs per hour' })
  @ApiOkResponse({ type: [PriceFields] })
  @DocumentedErrors()
  async list(): Promise<PriceFields[]> {
    const lines = await priceBook(this.dataSource, VOLUME_TYPES);
    return lines.map((line) => new PriceFields(line));
  }

  @Get('calculate/resource/:resource_type/:id')
  @ApiOperation({ operationId: 'calculate_resource_billing_rate', summary: 'What a virtual machine or a volume costs per hour as it is now' })
  @ApiParam({ name: 'resource_type', enum: [...KINDS.keys()] })
  @ApiParam({ name: 'id', type: 'integer' })
  @ApiOkResponse({ type: CalculatedBillResponse })
  @DocumentedErrors(404)
  async calculate(
    @Caller() { organizationId }: Principal,
    @Param('resource_type') type: string,
    @Param('id', new ResourceId('The resource')) id: number,
  ): Promise<CalculatedBillResponse> {
    const kind = KINDS.get(type);
    if (kind === undefined) throw notFound(`The type of resource ${JSON.stringify(type)} (${[...KINDS.keys()].join(', ')} have prices)`);
    const resource = await this.usage.one(organizationId, kind, id);
    return new CalculatedBillResponse(organizationId, kind, resource, await this.usage.parts(organizationId, kind, id));
  }
}
