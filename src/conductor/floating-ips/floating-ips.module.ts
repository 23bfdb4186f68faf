import { Module } from '@nestjs/common';
import { TasksModule } from '../tasks/tasks.module.js';
import { FloatingIpsController } from './floating-ips.controller.js';
import { FloatingIpsService } from './floating-ips.service.js';

@Module({ imports: [TasksModule], controllers: [FloatingIpsController], providers: [FloatingIpsService], exports: [FloatingIpsService] })
export class FloatingIpsModule {}
