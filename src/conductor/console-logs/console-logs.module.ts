/** The serial consoles of VMs, read on their nodes. */
import { Module } from '@nestjs/common';
import { IdentityModule } from '../identity/identity.module.js';
import { ConsoleLogsController } from './console-logs.controller.js';
import { ConsoleLogs } from './console-logs.service.js';
import { NodeConsoleLogsController } from './node-console-logs.controller.js';

@Module({
  imports: [IdentityModule],
  controllers: [ConsoleLogsController, NodeConsoleLogsController],
  providers: [ConsoleLogs],
  exports: [ConsoleLogs],
})
export class ConsoleLogsModule {}
