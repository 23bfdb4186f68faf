/** `/v1/auth/users`: which role a member has, and what a user may do. */
import { Body, Controller, Delete, Get, Param, Put, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { DocumentedErrors } from '../http/documented-errors.js';
import { Envelope } from '../http/envelope.js';
import { ResourceId } from '../http/resource-id.js';
import { ApiKeyGuard } from '../identity/api-key.strategy.js';
import { Caller, type KeyHolder, type Principal } from '../identity/principal.js';
import { RoleResponse, UserPermissionsResponse } from './access.responses.js';
import { AssignRole } from './role.requests.js';
import { RolesService } from './roles.service.js';

const user = new ResourceId('The user');

@ApiTags('Roles')
@UseGuards(ApiKeyGuard)
@Controller('v1/auth/users')
export class UserRolesController {
  constructor(private readonly roles: RolesService) {}

  @Get('me/permissions')
  @ApiOperation({ operationId: 'list_my_user_permissions', summary: 'List what you may do' })
  @ApiOkResponse({ type: UserPermissionsResponse })
  @DocumentedErrors()
  mine(@Caller() caller: KeyHolder): UserPermissionsResponse {
    return new UserPermissionsResponse(caller.granted);
  }

  @Get(':id/permissions')
  @ApiOperation({ operationId: 'list_user_permissions', summary: 'List what a member may do' })
  @ApiParam({ name: 'id', type: 'integer' })
  @ApiOkResponse({ type: UserPermissionsResponse })
  @DocumentedErrors(403, 404)
  async of(@Caller() principal: Principal, @Param('id', user) id: number): Promise<UserPermissionsResponse> {
    return new UserPermissionsResponse(await this.roles.grantedTo(principal.organizationId, id));
  }

  @Put(':user_id/assign-roles')
  @ApiOperation({ operationId: 'assign_rbac_role_to_user', summary: 'Give a member a role, in place of the one before' })
  @ApiParam({ name: 'user_id', type: 'integer' })
  @ApiOkResponse({ type: RoleResponse })
  @DocumentedErrors(403, 404)
  async assign(
    @Caller() caller: KeyHolder,
    @Param('user_id', user) id: number,
    @Body() body: AssignRole,
  ): Promise<RoleResponse> {
    return new RoleResponse('Role assigned successfully', await this.roles.assign(caller, id, body.role_id));
  }

  @Delete(':user_id/roles')
  @ApiOperation({
    operationId: 'remove_rbac_role_from_user',
    summary: 'Take the role from a member, who may then read and change nothing',
  })
  @ApiParam({ name: 'user_id', type: 'integer' })
  @ApiOkResponse({ type: Envelope })
  @DocumentedErrors(403, 404)
  async unassign(@Caller() caller: KeyHolder, @Param('user_id', user) id: number): Promise<Envelope> {
    await this.roles.unassign(caller, id);
    return new Envelope('Role removed successfully');
  }
}
