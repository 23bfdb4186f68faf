/** A VM's change to another flavor of its region. */
import { Body, Controller, HttpCode, Param, Post, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiPropertyOptional, ApiTags } from '@nestjs/swagger';
import { IsOptional, IsString, Length } from 'class-validator';
import type { VmId } from '../../protocol/ids.js';
import { Envelope } from '../http/envelope.js';
import { ResourceId } from '../http/resource-id.js';
import { ApiKeyGuard } from '../identity/api-key.strategy.js';
import { Caller, type Principal } from '../identity/principal.js';
import { CustomFlavors } from './custom-flavors.js';
import { FlavorObjectFields, IsCustomSize, requireOneSize } from './size.request.js';
import { VmActions } from './vm-actions.js';
import type { VmSelector } from './vm-wishes.js';

class InstanceResizePayload {
  @ApiPropertyOptional({ description: 'Of the same region; its disk must not be smaller than the present one. Needed unless flavor is given.' })
  @IsOptional()
  @IsString()
  @Length(1, 100)
  flavor_name?: string | null;

  @IsCustomSize()
  flavor?: FlavorObjectFields | null;
}

const vmId = new ResourceId('The virtual machine');

@Controller('v1/core/virtual-machines')
@ApiTags('Virtual machines')
@UseGuards(ApiKeyGuard)
export class VmResizingController {
  constructor(
    private readonly actions: VmActions,
    private readonly flavors: CustomFlavors,
  ) {}

  @Post(':vm_id/resize')
  @HttpCode(200)
  @ApiOperation({ operationId: 'resize_vm', summary: 'Give a virtual machine another flavor; one that runs is restarted' })
  @ApiOkResponse({ type: Envelope })
  byId(@Caller() principal: Principal, @Param('vm_id', vmId) id: VmId, @Body() payload: InstanceResizePayload): Promise<Envelope> {
    return this.resize(principal, { id }, payload);
  }

  @Post(':environment/:name/resize')
  @HttpCode(200)
  @ApiOperation({ operationId: 'resize_vm_by_name', summary: 'Give a virtual machine another flavor, by its name' })
  @ApiOkResponse({ type: Envelope })
  byName(
    @Caller() principal: Principal,
    @Param('environment') environment: string,
    @Param('name') name: string,
    @Body() payload: InstanceResizePayload,
  ): Promise<Envelope> {
    return this.resize(principal, { environment, name }, payload);
  }

  private async resize(principal: Principal, selector: VmSelector, size: InstanceResizePayload): Promise<Envelope> {
    requireOneSize(size);
    const flavor = size.flavor ? this.flavors.measure(size.flavor) : size.flavor_name!;
    const name = await this.actions.actOnOne(principal, 'resize', selector, { flavor });
    return new Envelope(`Resizing VM ${name}`);
  }
}
