/** Snapshots: copies of VMs' disks, and what can be made of them. */
import { Module } from '@nestjs/common';
import { CallbacksModule } from '../callbacks/callbacks.module.js';
import { CatalogModule } from '../catalog/catalog.module.js';
import { IdempotencyModule } from '../idempotency/idempotency.module.js';
import { TasksModule } from '../tasks/tasks.module.js';
import { VirtualMachinesModule } from '../virtual-machines/virtual-machines.module.js';
import { SnapshotCreation } from './snapshot-creation.js';
import { SnapshotDeadlines } from './snapshot-deadlines.js';
import { SnapshotImages } from './snapshot-images.js';
import { SnapshotRestoring } from './snapshot-restoring.js';
import { SnapshotsController } from './snapshots.controller.js';
import { SnapshotsService } from './snapshots.service.js';
import { VmSnapshotsController } from './vm-snapshots.controller.js';

@Module({
  imports: [CallbacksModule, CatalogModule, IdempotencyModule, TasksModule, VirtualMachinesModule],
  controllers: [SnapshotsController, VmSnapshotsController],
  providers: [SnapshotCreation, SnapshotDeadlines, SnapshotImages, SnapshotRestoring, SnapshotsService],
})
export class SnapshotsModule {}
