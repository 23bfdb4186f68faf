/** Where compute workers tell what their guests use, each with its node's own key. */
import { Body, Controller, HttpCode, Post, UseGuards } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import { NodeKeyGuard } from '../fleet/node-key.strategy.js';
import { refuseOldSession } from '../fleet/node-session.js';
import { Caller, type NodePrincipal } from '../identity/principal.js';
import { SampleBatchBody } from './metrics.dto.js';
import { Metrics } from './metrics.service.js';

@Controller('compute/metrics')
@ApiExcludeController()
@UseGuards(NodeKeyGuard)
export class NodeMetricsController {
  constructor(private readonly metrics: Metrics) {}

  @Post()
  @HttpCode(200)
  async take(@Caller() node: NodePrincipal, @Body() body: SampleBatchBody): Promise<{ status: true }> {
    refuseOldSession(node, body.session);
    await this.metrics.take(node.nodeId, body);
    return { status: true };
  }
}
