/** `/v1/auth/me`: who the key speaks for; and a token to speak for the same user in another organization. */
import { Controller, Get, HttpCode, Param, Post, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import type { OrganizationId } from '../../protocol/ids.js';
import { DocumentedErrors } from '../http/documented-errors.js';
import { Envelope } from '../http/envelope.js';
import { ResourceId } from '../http/resource-id.js';
import { AccessTokensService } from './access-tokens.service.js';
import { ApiKeyGuard } from './api-key.strategy.js';
import { AccessTokenResponse, AuthUserResponse, MfaResponse } from './identity.responses.js';
import { Caller, type KeyHolder, type Principal } from './principal.js';
import { UsersService } from './users.service.js';

@ApiTags('Auth')
@UseGuards(ApiKeyGuard)
@Controller('v1/auth')
export class AuthController {
  constructor(
    private readonly users: UsersService,
    private readonly accessTokens: AccessTokensService,
  ) {}

  @Get('me')
  @ApiOperation({ operationId: 'retrieve_authenticated_user_details', summary: 'Show the user that the key belongs to' })
  @ApiOkResponse({ type: AuthUserResponse })
  @DocumentedErrors()
  async me(@Caller() principal: Principal): Promise<AuthUserResponse> {
    return new AuthUserResponse(await this.users.get(principal.userId));
  }

  @Get('me/mfa')
  @ApiOperation({ operationId: 'get_user_mfa_status', summary: 'Whether a second factor is asked for: never' })
  @ApiOkResponse({ type: MfaResponse })
  @DocumentedErrors()
  mfa(): MfaResponse {
    return new MfaResponse('There is no multi-factor authentication: API keys are the only way in.');
  }

  @Post('me/mfa/disable')
  @HttpCode(200)
  @ApiOperation({ operationId: 'disable_mfa', summary: 'Changes nothing: there is no second factor' })
  @ApiOkResponse({ type: Envelope })
  @DocumentedErrors()
  disableMfa(): Envelope {
    return new Envelope('There is no multi-factor authentication to disable: API keys are the only way in.');
  }

  @Get('token/change-org/:org_id')
  @ApiOperation({
    operationId: 'change_organization_for_token',
    summary: 'Make an access token for another organization of yours',
    description: 'It is valid for an hour, ends with the API key that it was made with, and is shown in clear only now.',
  })
  @ApiParam({ name: 'org_id', type: 'integer' })
  @ApiOkResponse({ type: AccessTokenResponse })
  @DocumentedErrors(404)
  async changeOrganization(
    @Caller() holder: KeyHolder,
    @Param('org_id', new ResourceId('The organization')) id: number,
  ): Promise<AccessTokenResponse> {
    return new AccessTokenResponse(await this.accessTokens.forOrganization(holder, id as OrganizationId));
  }
}
