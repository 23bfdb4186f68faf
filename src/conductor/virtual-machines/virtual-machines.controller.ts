/**
 * `/v1/core/virtual-machines`: Infrahub's paths by id, and Baton's by name and by label. Ids and fixed words win over
 * environment names, which may therefore be neither (see environments/environment-names.ts).
 */
import { Body, Controller, Delete, Get, Headers, HttpCode, Param, Post, Put, Query, UseGuards } from '@nestjs/common';
import { ApiHeader, ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { VmId } from '../../protocol/ids.js';
import { Envelope } from '../http/envelope.js';
import { NameAvailability } from '../http/name-availability.js';
import { ResourceId } from '../http/resource-id.js';
import { Idempotency } from '../idempotency/idempotency.js';
import { ApiKeyGuard } from '../identity/api-key.strategy.js';
import { Caller, type Principal } from '../identity/principal.js';
import {
  CreateInstancesPayload,
  CreateQuery,
  EditLabelPayload,
  ListVmsQuery,
  NameAvailabilityQuery,
} from './vm.requests.js';
import {
  CreateInstancesResponse,
  InstanceEventsResponse,
  InstanceResponse,
  InstancesResponse,
  LabelActionResponse,
} from './vm.responses.js';
import { VmActions } from './vm-actions.js';
import { VmCreation } from './vm-creation.js';
import { VmLabels } from './vm-labels.js';
import { namesFor, VM_NAME_PATTERN, VM_NAME_RULE } from './vm-names.js';
import { VmQueries } from './vm-queries.js';

const VM_ID = ':vm_id';
const vmId = new ResourceId('The virtual machine');

@Controller('v1/core/virtual-machines')
@ApiTags('Virtual machines')
@UseGuards(ApiKeyGuard)
export class VirtualMachinesController {
  constructor(
    private readonly creation: VmCreation,
    private readonly actions: VmActions,
    private readonly labels: VmLabels,
    private readonly queries: VmQueries,
    private readonly idempotency: Idempotency,
  ) {}

  @Post()
  @HttpCode(200)
  @ApiOperation({ summary: 'Create virtual machines' })
  @ApiHeader({ name: 'Idempotency-Key', required: false, description: 'The same key and body get the same answer.' })
  @ApiOkResponse({ type: CreateInstancesResponse })
  async create(
    @Caller() principal: Principal,
    @Body() payload: CreateInstancesPayload,
    @Query() query: CreateQuery,
    @Headers('idempotency-key') key?: string,
  ): Promise<CreateInstancesResponse> {
    const idempotent = this.idempotency.read(key, 'create virtual machines', payload);
    if (query.dry_run === true) {
      const response = new CreateInstancesResponse(await this.creation.explain(principal, payload));
      response.instances = [];
      return response;
    }
    return this.creation.create(principal, payload, idempotent);
  }

  @Get()
  @ApiOperation({ summary: 'List virtual machines, oldest first' })
  @ApiOkResponse({ type: InstancesResponse })
  list(@Caller() principal: Principal, @Query() query: ListVmsQuery): Promise<InstancesResponse> {
    return this.queries.list(principal.organizationId, query);
  }

  @Get('name-availability/:name')
  @ApiOperation({ summary: 'Whether a name is free, for one VM or for several' })
  @ApiOkResponse({ type: NameAvailability })
  async nameAvailability(
    @Caller() principal: Principal,
    @Param('name') name: string,
    @Query() { count = 1 }: NameAvailabilityQuery,
  ): Promise<NameAvailability> {
    const names = namesFor(name, count);
    if (!names.every((candidate) => VM_NAME_PATTERN.test(candidate)))
      return new NameAvailability(name, `A name ${VM_NAME_RULE}`);
    const taken = await this.queries.namesTaken(principal.organizationId, names);
    return new NameAvailability(name, taken ? 'The name is taken' : undefined);
  }

  @Get(VM_ID)
  @ApiOperation({ summary: 'Get a virtual machine' })
  @ApiOkResponse({ type: InstanceResponse })
  get(@Caller() principal: Principal, @Param('vm_id', vmId) id: VmId): Promise<InstanceResponse> {
    return this.queries.get(principal.organizationId, id);
  }

  @Delete(VM_ID)
  @ApiOperation({ summary: 'Delete a virtual machine' })
  @ApiOkResponse({ type: Envelope })
  async delete(@Caller() principal: Principal, @Param('vm_id', vmId) id: VmId): Promise<Envelope> {
    return new Envelope(`Deleting VM ${await this.actions.actOnOne(principal, 'delete', { id })}`);
  }

  @Put(`${VM_ID}/label`)
  @ApiOperation({ summary: "Replace a virtual machine's labels" })
  @ApiOkResponse({ type: Envelope })
  async label(@Caller() principal: Principal, @Param('vm_id', vmId) id: VmId, @Body() { labels }: EditLabelPayload): Promise<Envelope> {
    const name = await this.labels.replace(principal, id, labels);
    return new Envelope(`labels for VM: ${name} is set to: ${JSON.stringify(labels)}`);
  }

  @Get(`${VM_ID}/events`)
  @ApiOperation({ summary: 'What happened to a virtual machine, oldest first' })
  @ApiOkResponse({ type: InstanceEventsResponse })
  async events(@Caller() principal: Principal, @Param('vm_id', vmId) id: VmId): Promise<InstanceEventsResponse> {
    const response = new InstanceEventsResponse('Getting events successful');
    response.instance_events = await this.queries.events(principal.organizationId, id);
    return response;
  }

  @Get(':environment/labels/:label')
  @ApiOperation({ summary: 'List the virtual machines of an environment that carry a label' })
  @ApiOkResponse({ type: InstancesResponse })
  listByLabel(
    @Caller() principal: Principal,
    @Param('environment') environment: string,
    @Param('label') label: string,
  ): Promise<InstancesResponse> {
    return this.queries.listByLabel(principal.organizationId, environment, label);
  }

  @Delete(':environment/labels/:label')
  @ApiOperation({ summary: 'Delete the virtual machines of an environment that carry a label' })
  @ApiOkResponse({ type: LabelActionResponse })
  deleteByLabel(
    @Caller() principal: Principal,
    @Param('environment') environment: string,
    @Param('label') label: string,
  ): Promise<LabelActionResponse> {
    return this.actions.actOnLabelled(principal, 'delete', environment, label);
  }

  @Get(':environment/:name')
  @ApiOperation({ summary: 'Get a virtual machine by its name' })
  @ApiOkResponse({ type: InstanceResponse })
  getByName(
    @Caller() principal: Principal,
    @Param('environment') environment: string,
    @Param('name') name: string,
  ): Promise<InstanceResponse> {
    return this.queries.getByName(principal.organizationId, environment, name);
  }

  @Delete(':environment/:name')
  @ApiOperation({ summary: 'Delete a virtual machine by its name' })
  @ApiOkResponse({ type: Envelope })
  async deleteByName(
    @Caller() principal: Principal,
    @Param('environment') environment: string,
    @Param('name') name: string,
  ): Promise<Envelope> {
    return new Envelope(`Deleting VM ${await this.actions.actOnOne(principal, 'delete', { environment, name })}`);
  }
}
