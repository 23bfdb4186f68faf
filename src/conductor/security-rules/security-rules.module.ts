import { Module } from '@nestjs/common';
import { TasksModule } from '../tasks/tasks.module.js';
import { SecurityRulesController } from './security-rules.controller.js';
import { SecurityRulesService } from './security-rules.service.js';

@Module({
  imports: [TasksModule],
  controllers: [SecurityRulesController],
  providers: [SecurityRulesService],
  exports: [SecurityRulesService],
})
export class SecurityRulesModule {}
