import { Module } from '@nestjs/common';
import { CallbacksModule } from '../callbacks/callbacks.module.js';
import { ConsoleSessionsModule } from '../consoles/console-sessions.module.js';
import { ConsoleLogsModule } from '../console-logs/console-logs.module.js';
import { ImagesModule } from '../images/images.module.js';
import { TasksModule } from '../tasks/tasks.module.js';
import { SnapshotRemovals } from '../snapshots/snapshot-removals.js';
import { VolumePreparations } from '../volumes/volume-preparations.js';
import { VolumeRemovals } from '../volumes/volume-removals.js';
import { ComputeController } from './compute.controller.js';
import { FleetView } from './fleet-view.js';
import { Heartbeats } from './heartbeats.js';
import { ImageFiles } from './image-files.js';
import { NodeKeyStrategy } from './node-key.strategy.js';
import { OperatorController, OperatorKeyGuard } from './operator.controller.js';
import { Registration } from './registration.js';

@Module({
  imports: [CallbacksModule, ConsoleLogsModule, ConsoleSessionsModule, ImagesModule, TasksModule],
  controllers: [ComputeController, OperatorController],
  providers: [
    FleetView,
    Heartbeats,
    ImageFiles,
    NodeKeyStrategy,
    OperatorKeyGuard,
    Registration,
    SnapshotRemovals,
    VolumePreparations,
    VolumeRemovals,
  ],
  exports: [FleetView, NodeKeyStrategy],
})
export class FleetModule {}
