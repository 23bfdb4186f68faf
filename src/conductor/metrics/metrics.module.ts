/** What VMs use. */
import { Module } from '@nestjs/common';
import { IdentityModule } from '../identity/identity.module.js';
import { MetricsController } from './metrics.controller.js';
import { Metrics } from './metrics.service.js';
import { NodeMetricsController } from './node-metrics.controller.js';

@Module({
  imports: [IdentityModule],
  controllers: [MetricsController, NodeMetricsController],
  providers: [Metrics],
})
export class MetricsModule {}
