import { Module } from '@nestjs/common';
import { CallbacksModule } from '../callbacks/callbacks.module.js';
import { DeadLetters } from './dead-letters.js';
import { Reports } from './reports.js';
import { TaskDeadlines } from './task-deadlines.js';
import { TaskRelay } from './task-relay.js';
import { VmDeadlines } from './vm-deadlines.js';

@Module({
  imports: [CallbacksModule],
  providers: [DeadLetters, Reports, TaskDeadlines, TaskRelay, VmDeadlines],
  exports: [Reports, TaskRelay],
})
export class TasksModule {}
