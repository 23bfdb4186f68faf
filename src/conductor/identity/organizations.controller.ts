/** `/v1/auth/organizations`: the organization that the key belongs to, and its members. */
import { Body, Controller, Get, HttpCode, Post, Put, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { DocumentedErrors } from '../http/documented-errors.js';
import { Envelope } from '../http/envelope.js';
import { ApiKeyGuard } from './api-key.strategy.js';
import { RemoveMember, UpdateOrganization } from './organization.requests.js';
import { OrganizationResponse, UserOrganizationsResponse } from './organization.responses.js';
import { OrganizationsService } from './organizations.service.js';
import { Caller, type Principal } from './principal.js';

@ApiTags('Organization')
@UseGuards(ApiKeyGuard)
@Controller('v1/auth')
export class OrganizationsController {
  constructor(private readonly organizations: OrganizationsService) {}

  @Get('organizations')
  @ApiOperation({ operationId: 'retrieve_organization_information', summary: 'Show the organization and its members' })
  @ApiOkResponse({ type: OrganizationResponse })
  @DocumentedErrors(403)
  async get(@Caller() principal: Principal): Promise<OrganizationResponse> {
    return new OrganizationResponse(await this.organizations.get(principal.organizationId));
  }

  @Get('me/organizations')
  @ApiOperation({ operationId: 'get_user_organizations', summary: 'List the organizations that you belong to' })
  @ApiOkResponse({ type: UserOrganizationsResponse })
  @DocumentedErrors()
  async mine(@Caller() principal: Principal): Promise<UserOrganizationsResponse> {
    return new UserOrganizationsResponse(await this.organizations.ofUser(principal));
  }

  @Put('organizations/update')
  @ApiOperation({ operationId: 'update_organization_information', summary: 'Rename the organization' })
  @ApiOkResponse({ type: Envelope })
  @DocumentedErrors(403, 409)
  async update(@Caller() principal: Principal, @Body() body: UpdateOrganization): Promise<Envelope> {
    await this.organizations.rename(principal, body.name);
    return new Envelope('Organization updated successfully');
  }

  @Post('organizations/remove-member')
  @HttpCode(200)
  @ApiOperation({
    operationId: 'remove_organization_member',
    summary: 'End a membership and its API keys at once',
    description: 'What the user made stays.',
  })
  @ApiOkResponse({ type: Envelope })
  @DocumentedErrors(403, 404)
  async removeMember(@Caller() principal: Principal, @Body() body: RemoveMember): Promise<Envelope> {
    await this.organizations.removeMember(principal, body.email);
    return new Envelope('Member removed successfully');
  }
}
