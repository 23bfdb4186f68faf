/** `/v1/auth/invites`: of the organization; to be accepted by whom they are for. */
import { Body, Controller, Delete, Get, Header, HttpCode, Param, Post, UseGuards } from '@nestjs/common';
import { ApiCreatedResponse, ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { DocumentedErrors } from '../http/documented-errors.js';
import { Envelope } from '../http/envelope.js';
import { ResourceId } from '../http/resource-id.js';
import { ApiKeyGuard } from './api-key.strategy.js';
import { InvitesService } from './invites.service.js';
import { InviteUser } from './organization.requests.js';
import { InviteAcceptedResponse, InviteResponse, InvitesResponse } from './organization.responses.js';
import { Caller, type KeyHolder, type Principal } from './principal.js';

const Id = (): ParameterDecorator => Param('id', new ResourceId('The invite'));
const ID = { name: 'id', type: 'integer' } as const;

@ApiTags('Invite')
@UseGuards(ApiKeyGuard)
@Controller('v1/auth/invites')
export class InvitesController {
  constructor(private readonly invites: InvitesService) {}

  @Get()
  @ApiOperation({ operationId: 'list_invites', summary: 'List whom the organization invited' })
  @ApiOkResponse({ type: InvitesResponse })
  @DocumentedErrors(403)
  async list(@Caller() principal: Principal): Promise<InvitesResponse> {
    return new InvitesResponse(await this.invites.list(principal.organizationId));
  }

  @Post()
  @HttpCode(201)
  @ApiOperation({
    operationId: 'invite_user_to_organization',
    summary: 'Invite a user of this cloud to the organization',
    description: 'No mail is sent: tell the user the id of the invite.',
  })
  @ApiCreatedResponse({ type: InviteResponse })
  @DocumentedErrors(403, 409)
  async invite(@Caller() caller: KeyHolder, @Body() body: InviteUser): Promise<InviteResponse> {
    return new InviteResponse(await this.invites.invite(caller, body.email));
  }

  @Delete(':id')
  @ApiOperation({ operationId: 'delete_invite', summary: 'Withdraw an invite; who accepted it stays a member' })
  @ApiParam(ID)
  @ApiOkResponse({ type: Envelope })
  @DocumentedErrors(403, 404)
  async delete(@Caller() principal: Principal, @Id() id: number): Promise<Envelope> {
    await this.invites.delete(principal, id);
    return new Envelope('Invite deleted successfully');
  }

  @Get(':id/accept')
  @Header('cache-control', 'no-store')
  @ApiOperation({
    operationId: 'accept_invite',
    summary: 'Become a member of the organization that invited you',
    description: 'With a key of any organization of yours. The answer has a key for the new one.',
  })
  @ApiParam(ID)
  @ApiOkResponse({ type: InviteAcceptedResponse })
  @DocumentedErrors(404, 409)
  async accept(@Caller() caller: KeyHolder, @Id() id: number): Promise<InviteAcceptedResponse> {
    return new InviteAcceptedResponse(await this.invites.accept(caller, id));
  }
}
