import { Module } from '@nestjs/common';
import { TasksModule } from '../tasks/tasks.module.js';
import { FirewallAttachmentsService } from './firewall-attachments.service.js';
import { FirewallsController } from './firewalls.controller.js';
import { FirewallsService } from './firewalls.service.js';

@Module({
  imports: [TasksModule],
  controllers: [FirewallsController],
  providers: [FirewallAttachmentsService, FirewallsService],
  exports: [FirewallAttachmentsService, FirewallsService],
})
export class FirewallsModule {}
