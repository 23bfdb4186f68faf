import { Module } from '@nestjs/common';
import { CallbacksModule } from '../callbacks/callbacks.module.js';
import { OperatorKeyGuard } from '../fleet/operator.controller.js';
import { TasksModule } from '../tasks/tasks.module.js';
import { DriftController } from './drift.controller.js';
import { DriftHealing } from './drift-healing.js';
import { DriftWatch } from './drift-watch.js';

@Module({
  imports: [CallbacksModule, TasksModule],
  controllers: [DriftController],
  providers: [DriftHealing, DriftWatch, OperatorKeyGuard],
})
export class DriftModule {}
