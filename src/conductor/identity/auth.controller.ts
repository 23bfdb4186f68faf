/** `/v1/auth/me`: who the key speaks for. */
import { Controller, Get, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { DocumentedErrors } from '../http/documented-errors.js';
import { ApiKeyGuard } from './api-key.strategy.js';
import { AuthUserResponse } from './identity.responses.js';
import { Caller, type Principal } from './principal.js';
import { UsersService } from './users.service.js';

@ApiTags('Auth')
@UseGuards(ApiKeyGuard)
@Controller('v1/auth')
export class AuthController {
  constructor(private readonly users: UsersService) {}

  @Get('me')
  @ApiOperation({ operationId: 'retrieve_authenticated_user_details', summary: 'Show the user that the key belongs to' })
  @ApiOkResponse({ type: AuthUserResponse })
  @DocumentedErrors()
  async me(@Caller() principal: Principal): Promise<AuthUserResponse> {
    return new AuthUserResponse(await this.users.get(principal.userId));
  }
}
