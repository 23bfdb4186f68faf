/** `/v1/auth/roles`, and what roles are made of. */
import { Body, Controller, Delete, Get, HttpCode, Param, Post, Put, UseGuards } from '@nestjs/common';
import { ApiCreatedResponse, ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { DocumentedErrors } from '../http/documented-errors.js';
import { Envelope } from '../http/envelope.js';
import { ResourceId } from '../http/resource-id.js';
import { ApiKeyGuard } from '../identity/api-key.strategy.js';
import { Caller, type KeyHolder, type Principal } from '../identity/principal.js';
import {
  PermissionsResponse,
  PoliciesResponse,
  RoleDetailsResponse,
  RoleResponse,
  RolesResponse,
} from './access.responses.js';
import { ALL_PERMISSIONS } from './permissions.js';
import { POLICIES } from './policies.js';
import { CreateUpdateRole } from './role.requests.js';
import { RolesService } from './roles.service.js';

const Id = (): ParameterDecorator => Param('id', new ResourceId('The role'));
const ID = { name: 'id', type: 'integer' } as const;

@ApiTags('Roles')
@UseGuards(ApiKeyGuard)
@Controller('v1/auth')
export class RolesController {
  constructor(private readonly roles: RolesService) {}

  @Get('permissions')
  @ApiOperation({ operationId: 'list_permissions', summary: 'List what can be allowed' })
  @ApiOkResponse({ type: PermissionsResponse })
  @DocumentedErrors(403)
  permissions(): PermissionsResponse {
    return new PermissionsResponse(ALL_PERMISSIONS);
  }

  @Get('policies')
  @ApiOperation({ operationId: 'list_policies', summary: 'List the built-in sets of permissions' })
  @ApiOkResponse({ type: PoliciesResponse })
  @DocumentedErrors(403)
  policies(): PoliciesResponse {
    return new PoliciesResponse(POLICIES);
  }

  @Get('roles')
  @ApiOperation({ operationId: 'list_rbac_roles', summary: 'List the roles of the organization' })
  @ApiOkResponse({ type: RolesResponse })
  @DocumentedErrors(403)
  async list(@Caller() principal: Principal): Promise<RolesResponse> {
    return new RolesResponse(await this.roles.list(principal.organizationId));
  }

  @Post('roles')
  @HttpCode(201)
  @ApiOperation({
    operationId: 'create_rbac_role',
    summary: 'Make a role out of policies and permissions',
    description: 'Only of those that the caller has.',
  })
  @ApiCreatedResponse({ type: RoleResponse })
  @DocumentedErrors(403, 409)
  async create(@Caller() caller: KeyHolder, @Body() body: CreateUpdateRole): Promise<RoleResponse> {
    return new RoleResponse('Role created successfully', await this.roles.create(caller, body));
  }

  @Get('roles/:id')
  @ApiOperation({ operationId: 'retrieve_rbac_role_details', summary: 'Show a role' })
  @ApiParam(ID)
  @ApiOkResponse({ type: RoleDetailsResponse })
  @DocumentedErrors(403, 404)
  async get(@Caller() principal: Principal, @Id() id: number): Promise<RoleDetailsResponse> {
    return new RoleDetailsResponse(await this.roles.get(principal.organizationId, id));
  }

  @Put('roles/:id')
  @ApiOperation({ operationId: 'update_rbac_role', summary: 'Change a role for all who have it, from their next request on' })
  @ApiParam(ID)
  @ApiOkResponse({ type: RoleResponse })
  @DocumentedErrors(403, 404, 409)
  async update(@Caller() caller: KeyHolder, @Id() id: number, @Body() body: CreateUpdateRole): Promise<RoleResponse> {
    return new RoleResponse('Role updated successfully', await this.roles.update(caller, id, body));
  }

  @Delete('roles/:id')
  @ApiOperation({ operationId: 'delete_rbac_role', summary: 'Delete a role that no member has' })
  @ApiParam(ID)
  @ApiOkResponse({ type: Envelope })
  @DocumentedErrors(403, 404)
  async delete(@Caller() principal: Principal, @Id() id: number): Promise<Envelope> {
    await this.roles.delete(principal, id);
    return new Envelope('Role deleted successfully');
  }
}
