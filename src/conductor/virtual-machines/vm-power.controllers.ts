/**
 * Power actions: by id as Infrahub has them, by name, and by label for all that carry it. GET, because Infrahub's
 * clients send GET; answered at once, and carried out later.
 */
import { Controller, Get, Param, UseGuards, type Type } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { VmId } from '../../protocol/ids.js';
import { Envelope } from '../http/envelope.js';
import { ResourceId } from '../http/resource-id.js';
import { ApiKeyGuard } from '../identity/api-key.strategy.js';
import { Caller, type Principal } from '../identity/principal.js';
import { LabelActionResponse } from './vm.responses.js';
import { VmActions } from './vm-actions.js';
import type { VmAction } from './vm-status.js';

interface PowerAction {
  readonly action: Exclude<VmAction, 'hibernate' | 'resize' | 'delete'>;
  /** Infrahub's name of the operation. */
  readonly operationId: string;
  readonly summary: string;
  readonly doing: string;
}

const POWER_ACTIONS: readonly PowerAction[] = [
  { action: 'start', operationId: 'start_virtual_machine', summary: 'Start', doing: 'Starting' },
  { action: 'stop', operationId: 'stop_virtual_machine', summary: 'Shut down, and switch off after a while,', doing: 'Stopping' },
  { action: 'hard-reboot', operationId: 'hard_reboot_virtual_machine', summary: 'Reset', doing: 'Rebooting' },
  {
    action: 'hibernate-restore',
    operationId: 'restore_hibernated_virtual_machine',
    summary: 'Go on where hibernation has stopped',
    doing: 'Restoring',
  },
];

const vmId = new ResourceId('The virtual machine');

function powerController({ action, operationId, summary, doing }: PowerAction): Type {
  @Controller('v1/core/virtual-machines')
  @ApiTags('Virtual machines')
  @UseGuards(ApiKeyGuard)
  class PowerController {
    constructor(private readonly actions: VmActions) {}

    @Get(`:vm_id/${action}`)
    @ApiOperation({ operationId, summary: `${summary} a virtual machine` })
    @ApiOkResponse({ type: Envelope })
    async byId(@Caller() principal: Principal, @Param('vm_id', vmId) id: VmId): Promise<Envelope> {
      return new Envelope(`${doing} VM ${await this.actions.actOnOne(principal, action, { id })}`);
    }

    @Get(`:environment/labels/:label/${action}`)
    @ApiOperation({ operationId: `${operationId}s_by_label`, summary: `${summary} the virtual machines that carry a label` })
    @ApiOkResponse({ type: LabelActionResponse })
    byLabel(
      @Caller() principal: Principal,
      @Param('environment') environment: string,
      @Param('label') label: string,
    ): Promise<LabelActionResponse> {
      return this.actions.actOnLabelled(principal, action, environment, label);
    }

    @Get(`:environment/:name/${action}`)
    @ApiOperation({ operationId: `${operationId}_by_name`, summary: `${summary} a virtual machine by its name` })
    @ApiOkResponse({ type: Envelope })
    async byName(
      @Caller() principal: Principal,
      @Param('environment') environment: string,
      @Param('name') name: string,
    ): Promise<Envelope> {
      return new Envelope(`${doing} VM ${await this.actions.actOnOne(principal, action, { environment, name })}`);
    }
  }
  return PowerController;
}

export const POWER_CONTROLLERS = POWER_ACTIONS.map(powerController);
