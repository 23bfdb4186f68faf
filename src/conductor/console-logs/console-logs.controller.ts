/** `/v1/core/virtual-machines/{vm_id}/logs`: asked for by POST, fetched by GET. */
import { Body, Controller, Get, HttpCode, Param, Post, Query, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import type { VmId } from '../../protocol/ids.js';
import { DocumentedErrors } from '../http/documented-errors.js';
import { ResourceId } from '../http/resource-id.js';
import { ApiKeyGuard } from '../identity/api-key.strategy.js';
import { Caller, type Principal } from '../identity/principal.js';
import {
  GetInstanceLogsResponse,
  GetLogsQuery,
  MOST_LINES,
  RequestInstanceLogsPayload,
  RequestInstanceLogsResponse,
} from './console-log.dto.js';
import { ConsoleLogs, type ConsoleLog } from './console-logs.service.js';

const Vm = (): ParameterDecorator => Param('vm_id', new ResourceId('The virtual machine'));
const VM_ID = { name: 'vm_id', type: 'integer' } as const;

@ApiTags('Virtual machines')
@UseGuards(ApiKeyGuard)
@Controller('v1/core/virtual-machines/:vm_id/logs')
export class ConsoleLogsController {
  constructor(private readonly consoleLogs: ConsoleLogs) {}

  @Post()
  @HttpCode(200)
  @ApiOperation({ operationId: 'request_vm_logs', summary: "Ask for the end of a VM's serial console" })
  @ApiParam(VM_ID)
  @ApiOkResponse({ type: RequestInstanceLogsResponse })
  @DocumentedErrors(404)
  async request(
    @Caller() { organizationId }: Principal,
    @Vm() id: VmId,
    @Body() { length = MOST_LINES }: RequestInstanceLogsPayload,
  ): Promise<RequestInstanceLogsResponse> {
    const response = new RequestInstanceLogsResponse('Requested the logs; fetch them with the request_id');
    response.request_id = await this.consoleLogs.request(organizationId, id, length);
    return response;
  }

  @Get()
  @ApiOperation({ operationId: 'get_vm_logs', summary: 'Fetch what was asked for, once the node has answered' })
  @ApiParam(VM_ID)
  @ApiOkResponse({ type: GetInstanceLogsResponse })
  @DocumentedErrors(404)
  async get(
    @Caller() { organizationId }: Principal,
    @Vm() id: VmId,
    @Query() { request_id }: GetLogsQuery,
  ): Promise<GetInstanceLogsResponse> {
    return answer(await this.consoleLogs.read(organizationId, id, request_id));
  }
}

function answer({ content, seconds }: ConsoleLog): GetInstanceLogsResponse {
  const pending = `The node has not answered for ${seconds} seconds. Ask again shortly.`;
  const response = new GetInstanceLogsResponse(content === null ? pending : 'Getting logs successful');
  response.status = content !== null;
  response.logs = content;
  return response;
}
