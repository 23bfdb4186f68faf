/** Hibernation, with its choice about the floating IP. GET, like the other power actions; the way back is one of them. */
import { Controller, Get, Param, Query, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiPropertyOptional, ApiTags } from '@nestjs/swagger';
import { IsOptional } from 'class-validator';
import type { VmId } from '../../protocol/ids.js';
import { Envelope } from '../http/envelope.js';
import { IsQueryBoolean } from '../http/query-boolean.js';
import { ResourceId } from '../http/resource-id.js';
import { ApiKeyGuard } from '../identity/api-key.strategy.js';
import { Caller, type Principal } from '../identity/principal.js';
import { LabelActionResponse } from './vm.responses.js';
import { VmActions } from './vm-actions.js';
import type { VmSelector } from './vm-wishes.js';

class HibernateQuery {
  @ApiPropertyOptional({ default: false, description: 'Keep the floating IP; without, another is assigned on restoration.' })
  @IsOptional()
  @IsQueryBoolean()
  retain_ip?: boolean;
}

const vmId = new ResourceId('The virtual machine');

@Controller('v1/core/virtual-machines')
@ApiTags('Virtual machines')
@UseGuards(ApiKeyGuard)
export class VmHibernationController {
  constructor(private readonly actions: VmActions) {}

  @Get(':vm_id/hibernate')
  @ApiOperation({ operationId: 'hibernate_vm', summary: 'Hibernate a virtual machine: off, with its memory and disk kept' })
  @ApiOkResponse({ type: Envelope })
  byId(@Caller() principal: Principal, @Param('vm_id', vmId) id: VmId, @Query() query: HibernateQuery): Promise<Envelope> {
    return this.hibernate(principal, { id }, query);
  }

  @Get(':environment/labels/:label/hibernate')
  @ApiOperation({ operationId: 'hibernate_vms_by_label', summary: 'Hibernate the virtual machines that carry a label' })
  @ApiOkResponse({ type: LabelActionResponse })
  byLabel(
    @Caller() principal: Principal,
    @Param('environment') environment: string,
    @Param('label') label: string,
    @Query() { retain_ip = false }: HibernateQuery,
  ): Promise<LabelActionResponse> {
    return this.actions.actOnLabelled(principal, 'hibernate', environment, label, { retainIp: retain_ip });
  }

  @Get(':environment/:name/hibernate')
  @ApiOperation({ operationId: 'hibernate_vm_by_name', summary: 'Hibernate a virtual machine by its name' })
  @ApiOkResponse({ type: Envelope })
  byName(
    @Caller() principal: Principal,
    @Param('environment') environment: string,
    @Param('name') name: string,
    @Query() query: HibernateQuery,
  ): Promise<Envelope> {
    return this.hibernate(principal, { environment, name }, query);
  }

  private async hibernate(principal: Principal, selector: VmSelector, { retain_ip = false }: HibernateQuery): Promise<Envelope> {
    const name = await this.actions.actOnOne(principal, 'hibernate', selector, { retainIp: retain_ip });
    return new Envelope(`Hibernating VM ${name}`);
  }
}
