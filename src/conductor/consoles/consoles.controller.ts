/** Consoles of VMs, by id as Infrahub has them, and by name: requested first, then fetched, each by GET. */
import { Controller, Get, Header, Param, Query, Req, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { InjectConfig } from '../../config/config.module.js';
import type { Config } from '../../config/settings.js';
import type { VmId } from '../../protocol/ids.js';
import { DocumentedErrors } from '../http/documented-errors.js';
import { ResourceId } from '../http/resource-id.js';
import { ApiKeyGuard } from '../identity/api-key.strategy.js';
import { Caller, type KeyHolder } from '../identity/principal.js';
import { RequestConsole, RequestConsoleQuery, VNCURL } from './console.responses.js';
import { pageAddress } from './console-origin.js';
import { ConsoleSessions, type ConsoleSelector } from './console-sessions.service.js';

const Vm = (): ParameterDecorator => Param('vm_id', new ResourceId('The virtual machine'));
const Job = (): ParameterDecorator => Param('job_id', new ResourceId('The console'));

@ApiTags('Virtual machines')
@UseGuards(ApiKeyGuard)
@Controller('v1/core/virtual-machines')
export class ConsolesController {
  constructor(
    private readonly sessions: ConsoleSessions,
    @InjectConfig() private readonly config: Config,
  ) {}

  @Get(':vm_id/request-console')
  @ApiOperation({ operationId: 'request_vm_console', summary: 'Request a console of a virtual machine' })
  @ApiOkResponse({ type: RequestConsole })
  @DocumentedErrors(404, 429)
  requestById(@Caller() principal: KeyHolder, @Vm() id: VmId, @Query() query: RequestConsoleQuery): Promise<RequestConsole> {
    return this.request(principal, { id }, query);
  }

  @Get(':environment/:name/request-console')
  @ApiOperation({ operationId: 'request_vm_console_by_name', summary: 'Request a console of a virtual machine by its name' })
  @ApiOkResponse({ type: RequestConsole })
  @DocumentedErrors(404, 429)
  requestByName(
    @Caller() principal: KeyHolder,
    @Param('environment') environment: string,
    @Param('name') name: string,
    @Query() query: RequestConsoleQuery,
  ): Promise<RequestConsole> {
    return this.request(principal, { environment, name }, query);
  }

  @Get(':vm_id/console/:job_id')
  @Header('cache-control', 'no-store')
  @ApiOperation({ operationId: 'get_vncurl', summary: 'Fetch the address of a console, once the node has answered' })
  @ApiOkResponse({ type: VNCURL })
  @DocumentedErrors(404)
  fetchById(@Caller() principal: KeyHolder, @Vm() id: VmId, @Job() job: number, @Req() request: FastifyRequest): Promise<VNCURL> {
    return this.fetch(principal, { id }, job, request);
  }

  @Get(':environment/:name/console/:job_id')
  @Header('cache-control', 'no-store')
  @ApiOperation({ operationId: 'get_vncurl_by_name', summary: 'Fetch the address of a console by the name of its virtual machine' })
  @ApiOkResponse({ type: VNCURL })
  @DocumentedErrors(404)
  fetchByName(
    @Caller() principal: KeyHolder,
    @Param('environment') environment: string,
    @Param('name') name: string,
    @Job() job: number,
    @Req() request: FastifyRequest,
  ): Promise<VNCURL> {
    return this.fetch(principal, { environment, name }, job, request);
  }

  private async request(principal: KeyHolder, selector: ConsoleSelector, { type = 'vnc' }: RequestConsoleQuery): Promise<RequestConsole> {
    const { console, vmId, vmName } = await this.sessions.request(principal, selector, type);
    const response = new RequestConsole(`Requested a console of ${vmName}; fetch its address from the url`);
    response.url = `/core/virtual-machines/${vmId}/console/${console}`;
    return response;
  }

  private async fetch(principal: KeyHolder, selector: ConsoleSelector, id: number, request: FastifyRequest): Promise<VNCURL> {
    const { kind, ticket, vmName } = await this.sessions.fetch(principal, selector, id);
    const address = pageAddress(request.protocol, request.headers.host, this.config.publicUrl);
    const response = new VNCURL(ticket === null ? 'The node has not answered yet. Ask again shortly.' : 'Getting the console successful');
    response.status = ticket !== null;
    // After the number sign: what stands there no browser sends to a server, so no log has it.
    response.vnc_url = { id, vnc_url: ticket === null ? '' : `${address}/consoles/${kind}#ticket=${ticket}&name=${encodeURIComponent(vmName)}` };
    return response;
  }
}
