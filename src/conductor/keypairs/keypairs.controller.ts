/** `/v1/core/keypairs` and, singular as Infrahub has it, `/v1/core/keypair/{id}`. */
import { Body, Controller, Delete, Get, HttpCode, Param, Post, Put, Query, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { DocumentedErrors } from '../http/documented-errors.js';
import { Envelope } from '../http/envelope.js';
import { pageOf } from '../http/page-query.js';
import { ResourceId } from '../http/resource-id.js';
import { ApiKeyGuard } from '../identity/api-key.strategy.js';
import { Caller, type Principal } from '../identity/principal.js';
import { ImportKeypair, KeypairSearch, UpdateKeypairName } from './keypair.requests.js';
import { KeypairResponse, KeypairsResponse, SupportedKeypairsResponse } from './keypair.responses.js';
import { KeypairsService } from './keypairs.service.js';
import { KEY_TYPES } from './openssh-public-key.js';

const Id = (): ParameterDecorator => Param('id', new ResourceId('The keypair'));
const ID = { name: 'id', type: 'integer' } as const;

@ApiTags('Keypair')
@UseGuards(ApiKeyGuard)
@Controller('v1/core')
export class KeypairsController {
  constructor(private readonly keypairs: KeypairsService) {}

  @Get('keypairs')
  @ApiOperation({ operationId: 'list_key_pairs', summary: 'List keypairs' })
  @ApiOkResponse({ type: KeypairsResponse })
  @DocumentedErrors()
  async list(@Caller() principal: Principal, @Query() query: KeypairSearch): Promise<KeypairsResponse> {
    const page = pageOf(query);
    const { keypairs, count } = await this.keypairs.list(principal.organizationId, query.search, page);
    return new KeypairsResponse(keypairs, count, page);
  }

  @Get('supported-keypairs')
  @ApiOperation({ operationId: 'list_supported_key_pair_types', summary: 'List the types of public keys that can be imported' })
  @ApiOkResponse({ type: SupportedKeypairsResponse })
  @DocumentedErrors()
  types(): SupportedKeypairsResponse {
    return new SupportedKeypairsResponse(KEY_TYPES);
  }

  @Post('keypairs')
  @HttpCode(200)
  @ApiOperation({ operationId: 'import_key_pair', summary: 'Import a public SSH key into an environment' })
  @ApiOkResponse({ type: KeypairResponse })
  @DocumentedErrors(404, 409)
  async import(@Caller() principal: Principal, @Body() body: ImportKeypair): Promise<KeypairResponse> {
    return new KeypairResponse('Keypair imported successfully', await this.keypairs.import(principal, body));
  }

  @Put('keypair/:id')
  @ApiOperation({ operationId: 'update_key_pair_name', summary: 'Rename a keypair' })
  @ApiParam(ID)
  @ApiOkResponse({ type: KeypairResponse })
  @DocumentedErrors(404, 409)
  async rename(
    @Caller() principal: Principal,
    @Id() id: number,
    @Body() body: UpdateKeypairName,
  ): Promise<KeypairResponse> {
    const keypair = await this.keypairs.rename(principal, id, body.name);
    return new KeypairResponse('Keypair updated successfully', keypair);
  }

  @Delete('keypair/:id')
  @ApiOperation({ operationId: 'delete_key_pair', summary: 'Delete a keypair; VMs that were given it keep it' })
  @ApiParam(ID)
  @ApiOkResponse({ type: Envelope })
  @DocumentedErrors(404)
  async delete(@Caller() principal: Principal, @Id() id: number): Promise<Envelope> {
    await this.keypairs.delete(principal, id);
    return new Envelope('Keypair deleted successfully');
  }
}
