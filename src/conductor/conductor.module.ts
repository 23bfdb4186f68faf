/** The Conductor: one module for each feature, and the two things that are chosen at boot, configuration and task bus. */
import { DynamicModule, Global, Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { ConfigModule } from '../config/config.module.js';
import type { Config } from '../config/settings.js';
import type { TaskPublisher } from '../messaging/task-bus.js';
import { AccessModule } from './access/access.module.js';
import { AuditModule } from './audit/audit.module.js';
import { BillingModule } from './billing/billing.module.js';
import { CallbacksModule } from './callbacks/callbacks.module.js';
import { CatalogModule } from './catalog/catalog.module.js';
import { DashboardController } from './dashboard/dashboard.controller.js';
import { ConsoleLogsModule } from './console-logs/console-logs.module.js';
import { ConsolesModule } from './consoles/consoles.module.js';
import { dataSourceOptions } from './database/data-source.js';
import { DriftModule } from './drift/drift.module.js';
import { EnvironmentsModule } from './environments/environments.module.js';
import { FirewallsModule } from './firewalls/firewalls.module.js';
import { FleetModule } from './fleet/fleet.module.js';
import { FloatingIpsModule } from './floating-ips/floating-ips.module.js';
import { GitopsModule } from './gitops/gitops.module.js';
import { HealthController } from './health.controller.js';
import { IdentityModule } from './identity/identity.module.js';
import { ImagesModule } from './images/images.module.js';
import { KeypairsModule } from './keypairs/keypairs.module.js';
import { MetricsModule } from './metrics/metrics.module.js';
import { MetadataModule } from './metadata/metadata.module.js';
import { ClustersController } from './clusters/clusters.controller.js';
import { NotOfferedController } from './not-offered/not-offered.controller.js';
import { ProfilesModule } from './profiles/profiles.module.js';
import { QuotasModule } from './quotas/quotas.module.js';
import { SecurityRulesModule } from './security-rules/security-rules.module.js';
import { SnapshotsModule } from './snapshots/snapshots.module.js';
import { TASK_PUBLISHER } from './tasks/task-publisher.token.js';
import { TasksModule } from './tasks/tasks.module.js';
import { VirtualMachinesModule } from './virtual-machines/virtual-machines.module.js';
import { VolumesModule } from './volumes/volumes.module.js';

@Global()
@Module({})
class TaskBusModule {
  static of(publisher: TaskPublisher): DynamicModule {
    const provider = { provide: TASK_PUBLISHER, useValue: publisher };
    return { module: TaskBusModule, providers: [provider], exports: [provider] };
  }
}

@Module({})
export class ConductorModule {
  static of(config: Config, publisher: TaskPublisher): DynamicModule {
    return {
      module: ConductorModule,
      imports: [
        ConfigModule.of(config),
        TaskBusModule.of(publisher),
        TypeOrmModule.forRoot({ ...dataSourceOptions(config), retryAttempts: 10, retryDelay: 1_000 }),
        IdentityModule,
        AccessModule,
        QuotasModule,
        CatalogModule,
        ImagesModule,
        EnvironmentsModule,
        KeypairsModule,
        FleetModule,
        TasksModule,
        VirtualMachinesModule,
        VolumesModule,
        SnapshotsModule,
        SecurityRulesModule,
        FirewallsModule,
        FloatingIpsModule,
        VolumesModule,
        CallbacksModule,
        MetadataModule,
        ProfilesModule,
        ConsoleLogsModule,
        GitopsModule,
        BillingModule,
        ConsolesModule,
        MetricsModule,
        AuditModule,
        DriftModule,
      ],
      controllers: [ClustersController, HealthController, DashboardController, NotOfferedController],
    };
  }
}
