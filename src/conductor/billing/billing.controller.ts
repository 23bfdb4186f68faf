/** `/v1/billing/billing`: what was used, what it costs, and when. Nothing here is paid: there is no credit and no invoice. */
import { Controller, Get, Param, Query, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { DocumentedErrors } from '../http/documented-errors.js';
import { ResourceId } from '../http/resource-id.js';
import { ApiKeyGuard } from '../identity/api-key.strategy.js';
import { Caller, type Principal } from '../identity/principal.js';
import { HistoryQuery, historyPage, OrganizationHistoryQuery, UsageQuery } from './billing.requests.js';
import { Graph, ListedHistory, VmDetailsResponse, VmGraphResponse, VmHistoryResponse, VolumeDetailsResponse, VolumeGraphResponse, VolumeHistoryResponse } from './billing.responses.js';
import { BillingEventsResponse, LastDayCostResponse, OrganizationHistoryResponse, UsageResponse } from './organization-usage.responses.js';
import { UsageService, type ResourceKind, type ResourceUsage } from './usage.service.js';
import { pieces, windowOf, WindowQuery } from './window.js';

const VmId = (): ParameterDecorator => Param('vm_id', new ResourceId('The virtual machine'));
const VolumeId = (): ParameterDecorator => Param('volume_id', new ResourceId('The volume'));
const VM_ID = { name: 'vm_id', type: 'integer' } as const;
const VOLUME_ID = { name: 'volume_id', type: 'integer' } as const;

const DAY = 24 * 3_600_000;
const BEGINNING = new Date(0);

@ApiTags('Billing')
@UseGuards(ApiKeyGuard)
@Controller('v1/billing/billing')
export class BillingController {
  constructor(private readonly usage: UsageService) {}

  @Get('usage')
  @ApiOperation({ operationId: 'get_usage', summary: 'All that each virtual machine and volume has used so far; on each page, as many of both' })
  @ApiOkResponse({ type: UsageResponse })
  @DocumentedErrors()
  async all(@Caller() { organizationId }: Principal, @Query() query: UsageQuery): Promise<UsageResponse> {
    const window = { since: BEGINNING, until: new Date() };
    const { deleted, environment } = query;
    const page = historyPage(query);
    const filter = { window, deleted, environment, page, livingFirst: true };
    const [vms, volumes] = await Promise.all([
      this.usage.list(organizationId, 'virtual-machine', filter),
      this.usage.list(organizationId, 'volume', filter),
    ]);
    return new UsageResponse(organizationId, { vms, volumes }, page);
  }

  @Get('last-day-cost')
  @ApiOperation({ operationId: 'get_last_day_cost', summary: 'What the last 24 hours cost' })
  @ApiOkResponse({ type: LastDayCostResponse })
  @DocumentedErrors()
  async lastDay(@Caller() { organizationId }: Principal): Promise<LastDayCostResponse> {
    const until = new Date();
    const window = { since: new Date(until.getTime() - DAY), until };
    return new LastDayCostResponse(await this.usage.charges(organizationId, [window]));
  }

  @Get('history')
  @ApiOperation({ operationId: 'get_user_billing_history', summary: 'What the organization used' })
  @ApiOkResponse({ type: OrganizationHistoryResponse })
  @DocumentedErrors()
  async organization(@Caller() { organizationId }: Principal, @Query() query: OrganizationHistoryQuery): Promise<OrganizationHistoryResponse> {
    return new OrganizationHistoryResponse(organizationId, await this.usage.charges(organizationId, [windowOf(query)]));
  }

  @Get('history/virtual-machine')
  @ApiOperation({ operationId: 'get_vm_billing_history', summary: 'What each virtual machine used' })
  @ApiOkResponse({ type: VmHistoryResponse })
  @DocumentedErrors()
  async vms(@Caller() principal: Principal, @Query() query: HistoryQuery): Promise<VmHistoryResponse> {
    return new VmHistoryResponse(await this.listed(principal, 'virtual-machine', query));
  }

  @Get('history/virtual-machine/:vm_id')
  @ApiOperation({ operationId: 'get_vm_billing_details', summary: 'What a virtual machine used' })
  @ApiParam(VM_ID)
  @ApiOkResponse({ type: VmDetailsResponse })
  @DocumentedErrors(404)
  async vm(@Caller() principal: Principal, @VmId() id: number, @Query() query: WindowQuery): Promise<VmDetailsResponse> {
    return new VmDetailsResponse(principal.organizationId, await this.details(principal, 'virtual-machine', id, query));
  }

  @Get('history/virtual-machine/:vm_id/graph')
  @ApiOperation({ operationId: 'get_vm_billing_graph', summary: 'What a virtual machine used, by the hour or by the day' })
  @ApiParam(VM_ID)
  @ApiOkResponse({ type: VmGraphResponse })
  @DocumentedErrors(404)
  async vmGraph(@Caller() principal: Principal, @VmId() id: number, @Query() query: WindowQuery): Promise<VmGraphResponse> {
    return new VmGraphResponse(await this.graph(principal, 'virtual-machine', id, query));
  }

  @Get('virtual-machine/:vm_id/billing-events')
  @ApiOperation({ operationId: 'get_vm_billing_events', summary: 'The times a virtual machine was in one state with one flavor' })
  @ApiParam(VM_ID)
  @ApiOkResponse({ type: BillingEventsResponse })
  @DocumentedErrors(404)
  async vmEvents(@Caller() principal: Principal, @VmId() id: number, @Query() query: WindowQuery): Promise<BillingEventsResponse> {
    return new BillingEventsResponse((await this.details(principal, 'virtual-machine', id, query)).charges);
  }

  @Get('history/volume')
  @ApiOperation({ operationId: 'get_volume_billing_history', summary: 'What each volume used' })
  @ApiOkResponse({ type: VolumeHistoryResponse })
  @DocumentedErrors()
  async volumes(@Caller() principal: Principal, @Query() query: HistoryQuery): Promise<VolumeHistoryResponse> {
    return new VolumeHistoryResponse(await this.listed(principal, 'volume', query));
  }

  @Get('history/volume/:volume_id')
  @ApiOperation({ operationId: 'get_volume_billing_details', summary: 'What a volume used' })
  @ApiParam(VOLUME_ID)
  @ApiOkResponse({ type: VolumeDetailsResponse })
  @DocumentedErrors(404)
  async volume(@Caller() principal: Principal, @VolumeId() id: number, @Query() query: WindowQuery): Promise<VolumeDetailsResponse> {
    const usage = await this.details(principal, 'volume', id, query);
    return new VolumeDetailsResponse(principal.organizationId, usage, await this.usage.measure(principal.organizationId, id));
  }

  @Get('history/volume/:volume_id/graph')
  @ApiOperation({ operationId: 'get_volume_billing_history_graph', summary: 'What a volume used, by the hour or by the day' })
  @ApiParam(VOLUME_ID)
  @ApiOkResponse({ type: VolumeGraphResponse })
  @DocumentedErrors(404)
  async volumeGraph(@Caller() principal: Principal, @VolumeId() id: number, @Query() query: WindowQuery): Promise<VolumeGraphResponse> {
    return new VolumeGraphResponse(await this.graph(principal, 'volume', id, query));
  }

  @Get('volume/:volume_id/billing-events')
  @ApiOperation({ operationId: 'get_volume_billing_events', summary: 'The times a volume had one size' })
  @ApiParam(VOLUME_ID)
  @ApiOkResponse({ type: BillingEventsResponse })
  @DocumentedErrors(404)
  async volumeEvents(@Caller() principal: Principal, @VolumeId() id: number, @Query() query: WindowQuery): Promise<BillingEventsResponse> {
    return new BillingEventsResponse((await this.details(principal, 'volume', id, query)).charges);
  }

  private async listed({ organizationId }: Principal, kind: ResourceKind, query: HistoryQuery): Promise<ListedHistory> {
    const page = historyPage(query);
    const found = await this.usage.list(organizationId, kind, { window: windowOf(query), search: query.search, page });
    return new ListedHistory(organizationId, found, page);
  }

  private async details({ organizationId }: Principal, kind: ResourceKind, id: number, query: WindowQuery): Promise<ResourceUsage> {
    const window = windowOf(query);
    const resource = await this.usage.one(organizationId, kind, id);
    return { resource, charges: await this.usage.charges(organizationId, [window], kind, id) };
  }

  private async graph({ organizationId }: Principal, kind: ResourceKind, id: number, query: WindowQuery): Promise<Graph> {
    const { granularity, windows } = pieces(windowOf(query));
    const resource = await this.usage.one(organizationId, kind, id);
    const charges = await this.usage.charges(organizationId, windows, kind, id);
    return new Graph(organizationId, resource, granularity, windows, charges);
  }
}
