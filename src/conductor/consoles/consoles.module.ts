/** The consoles of VMs, from the request to the joined websockets. */
import { Module } from '@nestjs/common';
import { FleetModule } from '../fleet/fleet.module.js';
import { IdentityModule } from '../identity/identity.module.js';
import { ConsoleGateway } from './console-gateway.js';
import { ConsolePagesController } from './console-pages.controller.js';
import { ConsoleSessionsModule } from './console-sessions.module.js';
import { ConsolesController } from './consoles.controller.js';

@Module({
  imports: [ConsoleSessionsModule, FleetModule, IdentityModule],
  controllers: [ConsolesController, ConsolePagesController],
  providers: [ConsoleGateway],
})
export class ConsolesModule {}
