/** The Conductor: one module for each feature, and the two things that are chosen at boot, configuration and task bus. */
import { DynamicModule, Global, Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { ConfigModule } from '../config/config.module.js';
import type { Config } from '../config/settings.js';
import type { TaskPublisher } from '../messaging/task-bus.js';
import { CallbacksModule } from './callbacks/callbacks.module.js';
import { CatalogModule } from './catalog/catalog.module.js';
import { dataSourceOptions } from './database/data-source.js';
import { EnvironmentsModule } from './environments/environments.module.js';
import { FleetModule } from './fleet/fleet.module.js';
import { HealthController } from './health.controller.js';
import { IdentityModule } from './identity/identity.module.js';
import { KeypairsModule } from './keypairs/keypairs.module.js';
import { MetadataModule } from './metadata/metadata.module.js';
import { TASK_PUBLISHER } from './tasks/task-publisher.token.js';
import { TasksModule } from './tasks/tasks.module.js';
import { VirtualMachinesModule } from './virtual-machines/virtual-machines.module.js';

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
        CatalogModule,
        EnvironmentsModule,
        KeypairsModule,
        FleetModule,
        TasksModule,
        VirtualMachinesModule,
        CallbacksModule,
        MetadataModule,
      ],
      controllers: [HealthController],
    };
  }
}
