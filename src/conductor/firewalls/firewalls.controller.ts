/** `/v1/core/firewalls`, and the firewalls of a VM: HTTP to one call of a service, and back. */
import { Body, Controller, Delete, Get, HttpCode, Param, Post, Query, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import type { VmId } from '../../protocol/ids.js';
import { DocumentedErrors } from '../http/documented-errors.js';
import { Envelope } from '../http/envelope.js';
import { pageOf } from '../http/page-query.js';
import { ResourceId } from '../http/resource-id.js';
import { ApiKeyGuard } from '../identity/api-key.strategy.js';
import { Caller, type Principal } from '../identity/principal.js';
import { CreateSecurityRulePayload } from '../security-rules/security-rule.dto.js';
import { AttachFirewallsToVMPayload, AttachFirewallWithVM, CreateFirewallPayload, FirewallSearch } from './firewall.requests.js';
import { FirewallDetailResponse, FirewallResponse, FirewallRule, FirewallsListResponse } from './firewall.responses.js';
import { FirewallAttachmentsService } from './firewall-attachments.service.js';
import { FirewallsService } from './firewalls.service.js';

const firewallId = new ResourceId('The firewall');
const ruleId = new ResourceId('The firewall rule');
const vmId = new ResourceId('The virtual machine');

@ApiTags('Firewalls')
@UseGuards(ApiKeyGuard)
@Controller('v1/core')
export class FirewallsController {
  constructor(
    private readonly firewalls: FirewallsService,
    private readonly attachments: FirewallAttachmentsService,
  ) {}

  @Get('firewalls')
  @ApiOperation({ operationId: 'list_existing_firewalls', summary: 'List firewalls' })
  @ApiOkResponse({ type: FirewallsListResponse })
  @DocumentedErrors()
  async list(@Caller() principal: Principal, @Query() query: FirewallSearch): Promise<FirewallsListResponse> {
    const page = pageOf(query);
    const { firewalls, count } = await this.firewalls.list(principal.organizationId, query, page);
    return new FirewallsListResponse(firewalls, count, page);
  }

  @Post('firewalls')
  @HttpCode(200)
  @ApiOperation({ operationId: 'create_firewall', summary: 'Create a firewall in an environment' })
  @ApiOkResponse({ type: FirewallResponse })
  @DocumentedErrors(404, 409)
  async create(@Caller() principal: Principal, @Body() payload: CreateFirewallPayload): Promise<FirewallResponse> {
    return new FirewallResponse('Firewall created successfully', await this.firewalls.create(principal, payload));
  }

  @Get('firewalls/:id')
  @ApiOperation({ operationId: 'get_firewall', summary: 'Show a firewall with its rules and virtual machines' })
  @ApiParam({ name: 'id', type: 'integer' })
  @ApiOkResponse({ type: FirewallDetailResponse })
  @DocumentedErrors(404)
  async get(@Caller() principal: Principal, @Param('id', firewallId) id: number): Promise<FirewallDetailResponse> {
    return new FirewallDetailResponse('Getting firewall successful', await this.firewalls.get(principal.organizationId, id));
  }

  @Delete('firewalls/:id')
  @ApiOperation({ operationId: 'delete_existing_firewall', summary: 'Delete a firewall that is attached to nothing' })
  @ApiParam({ name: 'id', type: 'integer' })
  @ApiOkResponse({ type: Envelope })
  @DocumentedErrors(404)
  async delete(@Caller() principal: Principal, @Param('id', firewallId) id: number): Promise<Envelope> {
    await this.firewalls.delete(principal, id);
    return new Envelope('Firewall deleted successfully');
  }

  @Post('firewalls/:firewall_id/firewall-rules')
  @HttpCode(200)
  @ApiOperation({ operationId: 'add_rule_to_firewall', summary: 'Add a rule to a firewall and all its virtual machines' })
  @ApiParam({ name: 'firewall_id', type: 'integer' })
  @ApiOkResponse({ type: FirewallRule })
  @DocumentedErrors(404, 409)
  async addRule(
    @Caller() principal: Principal,
    @Param('firewall_id', firewallId) id: number,
    @Body() payload: CreateSecurityRulePayload,
  ): Promise<FirewallRule> {
    return new FirewallRule('Firewall rule created successfully', await this.firewalls.addRule(principal, id, payload));
  }

  @Delete('firewalls/:firewall_id/firewall-rules/:firewall_rule_id')
  @ApiOperation({ operationId: 'delete_rule_from_firewall', summary: 'Remove a rule from a firewall and all its virtual machines' })
  @ApiParam({ name: 'firewall_id', type: 'integer' })
  @ApiParam({ name: 'firewall_rule_id', type: 'integer' })
  @ApiOkResponse({ type: Envelope })
  @DocumentedErrors(404)
  async removeRule(
    @Caller() principal: Principal,
    @Param('firewall_id', firewallId) id: number,
    @Param('firewall_rule_id', ruleId) rule: number,
  ): Promise<Envelope> {
    await this.firewalls.removeRule(principal, id, rule);
    return new Envelope('Firewall rule deleted successfully');
  }

  @Post('firewalls/:firewall_id/update-attachments')
  @HttpCode(200)
  @ApiOperation({ operationId: 'attach_firewall_to_vms', summary: 'Set the virtual machines that a firewall is attached to' })
  @ApiParam({ name: 'firewall_id', type: 'integer' })
  @ApiOkResponse({ type: Envelope })
  @DocumentedErrors(404)
  async setVms(
    @Caller() principal: Principal,
    @Param('firewall_id', firewallId) id: number,
    @Body() { vms }: AttachFirewallWithVM,
  ): Promise<Envelope> {
    const name = await this.attachments.setVms(principal, id, vms);
    return new Envelope(`Firewall ${name} is attached to ${vms.length} virtual machines`);
  }

  @Post('virtual-machines/:vm_id/attach-firewalls')
  @HttpCode(200)
  @ApiOperation({ operationId: 'attach_firewalls_to_vm', summary: 'Set the firewalls of a virtual machine' })
  @ApiParam({ name: 'vm_id', type: 'integer' })
  @ApiOkResponse({ type: Envelope })
  @DocumentedErrors(404)
  async setFirewalls(
    @Caller() principal: Principal,
    @Param('vm_id', vmId) id: VmId,
    @Body() { firewalls }: AttachFirewallsToVMPayload,
  ): Promise<Envelope> {
    const name = await this.attachments.setFirewalls(principal, id, firewalls);
    return new Envelope(`VM ${name} has ${firewalls.length} firewalls`);
  }
}
