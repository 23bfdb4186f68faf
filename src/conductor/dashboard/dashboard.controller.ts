/**
 * `/v1/core/dashboard`: what an organization has, in numbers, counted from the resources themselves. Containers
 * do not exist: those fields are zero because clients expect them.
 */
import { Controller, Get, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { DataSource } from 'typeorm';
import { DocumentedErrors } from '../http/documented-errors.js';
import { ApiKeyGuard } from '../identity/api-key.strategy.js';
import { Caller, type Principal } from '../identity/principal.js';
import { DashboardResponse, type InstanceOverview, type VolumeOverview } from './dashboard.responses.js';

/** Of what the organization holds now. */
const costPerHour = (kinds: string): string => `
  (SELECT coalesce(sum(u.amount * p.per_hour), 0)
     FROM usage_period u JOIN price p ON p.kind = u.kind AND p.item = u.item AND p.ended_at IS NULL
    WHERE u.organization_id = $1 AND u.kind IN (${kinds}) AND u.ended_at IS NULL AND u.state <> 'hibernated')::float8 AS cost_per_hour`;

const INSTANCES = `
  SELECT count(*)::int AS count, coalesce(sum(f.gpu_count), 0)::int AS gpus, coalesce(sum(f.cpu), 0)::int AS vcpus,
         (coalesce(sum(f.ram_mib), 0) / 1024.0)::float8 AS ram, ${costPerHour("'virtual-machine', 'floating-ip'")}
    FROM virtual_machine vm JOIN flavor f ON f.id = vm.flavor_id
   WHERE vm.organization_id = $1 AND vm.deleted_at IS NULL`;

const VOLUMES = `
  SELECT count(*)::int AS count, coalesce(sum(size_gib), 0)::int AS using, ${costPerHour("'volume'")}
    FROM volume WHERE organization_id = $1 AND removal_requested_at IS NULL AND deleted_at IS NULL`;

@ApiTags('Dashboard')
@UseGuards(ApiKeyGuard)
@Controller('v1/core/dashboard')
export class DashboardController {
  constructor(private readonly dataSource: DataSource) {}

  @Get()
  @ApiOperation({ operationId: 'get_dashboard', summary: 'What the organization has, in numbers' })
  @ApiOkResponse({ type: DashboardResponse })
  @DocumentedErrors()
  async get(@Caller() { organizationId }: Principal): Promise<DashboardResponse> {
    const [[instance], [volume]] = await Promise.all([
      this.dataSource.query<[InstanceOverview]>(INSTANCES, [organizationId]),
      this.dataSource.query<[VolumeOverview]>(VOLUMES, [organizationId]),
    ]);
    return new DashboardResponse(instance, volume);
  }
}
