import { Module } from '@nestjs/common';
import { CallbacksModule } from '../callbacks/callbacks.module.js';
import { EgressModule } from '../egress/egress.module.js';
import { FleetModule } from '../fleet/fleet.module.js';
import { IdempotencyModule } from '../idempotency/idempotency.module.js';
import { QuotasModule } from '../quotas/quotas.module.js';
import { TasksModule } from '../tasks/tasks.module.js';
import { CustomFlavors } from './custom-flavors.js';
import { VirtualMachinesController } from './virtual-machines.controller.js';
import { VmActions } from './vm-actions.js';
import { VmCallbacksController } from './vm-callbacks.controller.js';
import { VmCallbacks } from './vm-callbacks.js';
import { VmCreation } from './vm-creation.js';
import { VmDraining } from './vm-draining.js';
import { VmHibernationController } from './vm-hibernation.controller.js';
import { VmInsertionQueue } from './vm-insertion-queue.js';
import { VmLabels } from './vm-labels.js';
import { POWER_CONTROLLERS } from './vm-power.controllers.js';
import { VmRecovery } from './vm-recovery.js';
import { VmReplacement } from './vm-replacement.js';
import { VmQueries } from './vm-queries.js';
import { VmRequests } from './vm-request.js';
import { VmResizingController } from './vm-resizing.controller.js';

@Module({
  imports: [CallbacksModule, EgressModule, FleetModule, IdempotencyModule, QuotasModule, TasksModule],
  controllers: [
    VirtualMachinesController,
    VmCallbacksController,
    VmHibernationController,
    VmResizingController,
    ...POWER_CONTROLLERS,
  ],
  providers: [CustomFlavors, VmActions, VmCallbacks, VmCreation, VmDraining, VmInsertionQueue, VmLabels, VmQueries, VmRecovery, VmReplacement, VmRequests],
  exports: [CustomFlavors, VmActions, VmCallbacks, VmCreation, VmLabels, VmQueries],
})
export class VirtualMachinesModule {}
