/** Where compute workers bring the consoles that they were asked for, each with its node's own key. */
import { Body, Controller, HttpCode, Param, Post, UseGuards } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import { NodeKeyGuard } from '../fleet/node-key.strategy.js';
import { refuseOldSession } from '../fleet/node-session.js';
import { ResourceId } from '../http/resource-id.js';
import { Caller, type NodePrincipal } from '../identity/principal.js';
import { ConsoleLogAnswerBody } from './console-log.dto.js';
import { ConsoleLogs } from './console-logs.service.js';

@Controller('compute/console-logs')
@ApiExcludeController()
@UseGuards(NodeKeyGuard)
export class NodeConsoleLogsController {
  constructor(private readonly consoleLogs: ConsoleLogs) {}

  @Post(':request')
  @HttpCode(200)
  async answer(
    @Caller() node: NodePrincipal,
    @Param('request', new ResourceId('The log request')) request: number,
    @Body() { session, text }: ConsoleLogAnswerBody,
  ): Promise<{ status: true }> {
    refuseOldSession(node, session);
    await this.consoleLogs.answer(node.nodeId, request, text);
    return { status: true };
  }
}
