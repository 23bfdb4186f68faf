/** Apart from the gateway, because heartbeats name what is asked of a node, and the gateway knows nodes. */
import { Module } from '@nestjs/common';
import { ConsoleSessions } from './console-sessions.service.js';

@Module({ providers: [ConsoleSessions], exports: [ConsoleSessions] })
export class ConsoleSessionsModule {}
