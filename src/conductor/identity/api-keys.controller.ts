/** `/v1/api-key`: the caller's own keys. */
import { Body, Controller, Delete, Get, HttpCode, Param, Post, Put, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { DocumentedErrors } from '../http/documented-errors.js';
import { Envelope } from '../http/envelope.js';
import { ResourceId } from '../http/resource-id.js';
import { GenerateApiKey, UpdateApiKey } from './api-key.requests.js';
import { ApiKeyGuard } from './api-key.strategy.js';
import { ApiKeysService } from './api-keys.service.js';
import { ApiKeyResponse, ApiKeysResponse } from './identity.responses.js';
import { Caller, type KeyHolder, type Principal } from './principal.js';

const Id = (): ParameterDecorator => Param('api_key_id', new ResourceId('The API key'));
const ID = { name: 'api_key_id', type: 'integer' } as const;

@ApiTags('ApiKey')
@UseGuards(ApiKeyGuard)
@Controller('v1/api-key')
export class ApiKeysController {
  constructor(private readonly apiKeys: ApiKeysService) {}

  @Get()
  @ApiOperation({ operationId: 'get_api_key', summary: 'List your API keys, masked' })
  @ApiOkResponse({ type: ApiKeysResponse })
  @DocumentedErrors()
  async list(@Caller() principal: Principal): Promise<ApiKeysResponse> {
    return new ApiKeysResponse(await this.apiKeys.list(principal));
  }

  @Post('generate')
  @HttpCode(200)
  @ApiOperation({ operationId: 'generate_api_key', summary: 'Make an API key; it is shown in clear only now' })
  @ApiOkResponse({ type: ApiKeyResponse })
  @DocumentedErrors(409)
  async generate(@Caller() holder: KeyHolder, @Body() body: GenerateApiKey): Promise<ApiKeyResponse> {
    return new ApiKeyResponse('API key generated successfully', await this.apiKeys.generate(holder, body));
  }

  @Put(':api_key_id')
  @ApiOperation({ operationId: 'update_api_key', summary: 'Change the name or description of an API key' })
  @ApiParam(ID)
  @ApiOkResponse({ type: ApiKeyResponse })
  @DocumentedErrors(404, 409)
  async update(
    @Caller() principal: Principal,
    @Id() id: number,
    @Body() body: UpdateApiKey,
  ): Promise<ApiKeyResponse> {
    return new ApiKeyResponse('API key updated successfully', await this.apiKeys.update(principal, id, body));
  }

  @Delete(':api_key_id')
  @ApiOperation({ operationId: 'delete_api_key', summary: 'Revoke an API key at once' })
  @ApiParam(ID)
  @ApiOkResponse({ type: Envelope })
  @DocumentedErrors(404)
  async delete(@Caller() principal: Principal, @Id() id: number): Promise<Envelope> {
    await this.apiKeys.delete(principal, id);
    return new Envelope('API key deleted successfully');
  }
}
