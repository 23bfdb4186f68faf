/** For load balancers and orchestrators: is the process alive, and can it serve. */
import { Controller, Get, Inject, Res } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { DataSource } from 'typeorm';
import type { TaskPublisher } from '../messaging/task-bus.js';
import { TASK_PUBLISHER } from './tasks/task-publisher.token.js';

@Controller()
@ApiExcludeController()
export class HealthController {
  constructor(
    private readonly dataSource: DataSource,
    @Inject(TASK_PUBLISHER) private readonly publisher: TaskPublisher,
  ) {}

  @Get('healthz')
  alive(): { status: string } {
    return { status: 'ok' };
  }

  /** Without the task bus requests are still taken and carried out later: degraded, not unready. */
  @Get('readyz')
  async ready(@Res({ passthrough: true }) reply: FastifyReply): Promise<object> {
    const database = await this.dataSource.query('SELECT 1').then(
      () => true,
      () => false,
    );
    const { connected } = this.publisher;
    if (!database) void reply.status(503).header('retry-after', '2');
    return {
      status: !database ? 'unavailable' : connected ? 'ok' : 'degraded',
      database: database ? 'ok' : 'unreachable',
      task_bus: connected ? 'ok' : 'unreachable',
    };
  }
}
