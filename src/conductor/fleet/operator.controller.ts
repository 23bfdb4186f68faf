/**
 * What operators do over REST, with the operator key: see which nodes there are and drain them. Not part of the tenants'
 * API: no organization's key opens it, and the operator key opens nothing else. Without one configured it is closed.
 */
import { Body, CanActivate, Controller, ExecutionContext, Get, HttpCode, Injectable, Param, Post, UseGuards } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import { IsBoolean, IsOptional } from 'class-validator';
import type { IncomingHttpHeaders } from 'node:http';
import { timingSafeEqual } from 'node:crypto';
import { DataSource } from 'typeorm';
import { InjectConfig } from '../../config/config.module.js';
import type { Config } from '../../config/settings.js';
import { ApiError, notFound } from '../http/api-error.js';
import { keyIn } from '../identity/key-in.js';
import { hashSecret } from '../identity/secrets.js';
import { drainNode, drainProgress, drainProgressOfAll, undrainNode, type DrainProgress } from './node-drain.js';

@Injectable()
export class OperatorKeyGuard implements CanActivate {
  constructor(@InjectConfig() private readonly config: Config) {}

  canActivate(context: ExecutionContext): true {
    const { operatorKey } = this.config;
    const given = keyIn(context.switchToHttp().getRequest<{ headers: IncomingHttpHeaders }>().headers);
    if (operatorKey === undefined || given === undefined || !timingSafeEqual(hashSecret(given), hashSecret(operatorKey)))
      throw new ApiError(401, 'Send the operator key (BATON_OPERATOR_KEY of the conductor) as Authorization: Bearer.');
    return true;
  }
}

export class DrainBody {
  @IsOptional()
  @IsBoolean()
  stop?: boolean;
}

interface NodeAnswer {
  readonly status: true;
  readonly message: string;
  readonly node: DrainProgress;
}

@Controller('admin/nodes')
@ApiExcludeController()
@UseGuards(OperatorKeyGuard)
export class OperatorController {
  constructor(private readonly dataSource: DataSource) {}

  @Get()
  async list(): Promise<{ status: true; message: string; nodes: DrainProgress[] }> {
    return { status: true, message: 'Getting nodes successful', nodes: await drainProgressOfAll(this.dataSource) };
  }

  @Get(':node')
  async get(@Param('node') node: string): Promise<NodeAnswer> {
    return answer(await drainProgress(this.dataSource, node), 'Getting node successful');
  }

  @Post(':node/drain')
  @HttpCode(200)
  async drain(@Param('node') node: string, @Body() { stop = false }: DrainBody): Promise<NodeAnswer> {
    return answer(await drainNode(this.dataSource, node, { stopVms: stop }), 'The node gets no new VMs');
  }

  @Post(':node/undrain')
  @HttpCode(200)
  async undrain(@Param('node') node: string): Promise<NodeAnswer> {
    return answer(await undrainNode(this.dataSource, node), 'The node gets VMs again');
  }
}

function answer(node: DrainProgress | undefined, message: string): NodeAnswer {
  if (node === undefined) throw notFound('The compute node');
  return { status: true, message, node };
}
