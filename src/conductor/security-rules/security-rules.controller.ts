/** Security rules of single VMs, and the protocols that rules may have. */
import { Body, Controller, Delete, Get, HttpCode, Param, Post, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import type { VmId } from '../../protocol/ids.js';
import { DocumentedErrors } from '../http/documented-errors.js';
import { Envelope } from '../http/envelope.js';
import { ResourceId } from '../http/resource-id.js';
import { ApiKeyGuard } from '../identity/api-key.strategy.js';
import { Caller, type Principal } from '../identity/principal.js';
import { CreateSecurityRulePayload, SecurityGroupRule, SecurityRulesProtocolFields } from './security-rule.dto.js';
import { SecurityRulesService } from './security-rules.service.js';

const vmId = new ResourceId('The virtual machine');
const ruleId = new ResourceId('The security rule');

@ApiTags('Security rules')
@UseGuards(ApiKeyGuard)
@Controller('v1/core')
export class SecurityRulesController {
  constructor(private readonly rules: SecurityRulesService) {}

  @Get('sg-rules-protocols')
  @ApiOperation({ operationId: 'list_firewall_rule_protocols', summary: 'List the protocols that security rules may have' })
  @ApiOkResponse({ type: SecurityRulesProtocolFields })
  @DocumentedErrors()
  protocols(): SecurityRulesProtocolFields {
    return new SecurityRulesProtocolFields('Getting protocols successful');
  }

  @Post('virtual-machines/:vm_id/sg-rules')
  @HttpCode(200)
  @ApiOperation({ operationId: 'create_firewall_rule_for_vm', summary: 'Add a security rule to a virtual machine' })
  @ApiParam({ name: 'vm_id', type: 'integer' })
  @ApiOkResponse({ type: SecurityGroupRule })
  @DocumentedErrors(404, 409)
  async add(
    @Caller() principal: Principal,
    @Param('vm_id', vmId) id: VmId,
    @Body() payload: CreateSecurityRulePayload,
  ): Promise<SecurityGroupRule> {
    return new SecurityGroupRule('Security rule created successfully', await this.rules.add(principal, id, payload));
  }

  @Delete('virtual-machines/:vm_id/sg-rules/:sg_rule_id')
  @ApiOperation({ operationId: 'delete_firewall_rule_for_vm', summary: 'Remove a security rule from a virtual machine' })
  @ApiParam({ name: 'vm_id', type: 'integer' })
  @ApiParam({ name: 'sg_rule_id', type: 'integer' })
  @ApiOkResponse({ type: Envelope })
  @DocumentedErrors(404)
  async remove(
    @Caller() principal: Principal,
    @Param('vm_id', vmId) id: VmId,
    @Param('sg_rule_id', ruleId) rule: number,
  ): Promise<Envelope> {
    await this.rules.remove(principal, id, rule);
    return new Envelope('Security rule deleted successfully');
  }
}
