/**
 * The one thing of Infrahub's clusters that Baton has: which environment a cluster is in, for the CSI driver, which makes
 * volumes there. Baton runs no Kubernetes; whoever runs it on VMs of an environment labels them `kubernetes`, and the
 * environment is then told as a cluster, under its own id. Everything else below this path is not offered.
 */
import { Controller, Get, Param, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { DataSource } from 'typeorm';
import { DocumentedErrors } from '../http/documented-errors.js';
import { ResourceId } from '../http/resource-id.js';
import { ApiKeyGuard } from '../identity/api-key.strategy.js';
import { Caller, type Principal } from '../identity/principal.js';
import { notOffered } from '../not-offered/not-offered.controller.js';
import { ClusterResponse } from './cluster.responses.js';

const LABEL = 'kubernetes';

interface ClusterRow {
  readonly id: number;
  readonly name: string;
  readonly created_at: Date;
}

@ApiTags('Environment')
@UseGuards(ApiKeyGuard)
@Controller('v1/core/clusters')
export class ClustersController {
  constructor(private readonly dataSource: DataSource) {}

  @Get(':cluster_id')
  @ApiOperation({
    operationId: 'getting_cluster_detail',
    summary: `Show an environment, by its id, as the cluster that somebody runs on its VMs with the label ${LABEL}`,
  })
  @ApiParam({ name: 'cluster_id', type: 'integer' })
  @ApiOkResponse({ type: ClusterResponse })
  @DocumentedErrors(501)
  async get(@Caller() { organizationId }: Principal, @Param('cluster_id', new ResourceId('The cluster')) id: number): Promise<ClusterResponse> {
    const [environment] = await this.dataSource.query<ClusterRow[]>(
      `SELECT e.id, e.name, e.created_at FROM environment e
        WHERE e.id = $1 AND e.organization_id = $2 AND e.deleted_at IS NULL
          AND EXISTS (SELECT FROM virtual_machine v JOIN virtual_machine_label l ON l.virtual_machine_id = v.id
                       WHERE v.environment_id = e.id AND v.deleted_at IS NULL AND l.label = $3)`,
      [id, organizationId, LABEL],
    );
    if (environment === undefined) throw notOffered('Kubernetes clusters');
    return new ClusterResponse(environment);
  }
}
