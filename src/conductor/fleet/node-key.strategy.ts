/** Authentication of compute workers: by the key that the node was issued when it joined. */
import { Injectable, type ExecutionContext } from '@nestjs/common';
import { AuthGuard, PassportStrategy } from '@nestjs/passport';
import type { Request } from 'express';
import type { FastifyRequest } from 'fastify';
import { Strategy } from 'passport-http-bearer';
import { DataSource } from 'typeorm';
import type { ComputeNodeId } from '../../protocol/ids.js';
import { admitKey } from '../admission/admit-key.js';
import { PreparedStatement } from '../database/prepared-statement.js';
import { bearerOnly } from '../identity/api-key.strategy.js';
import type { NodePrincipal } from '../identity/principal.js';
import { hashSecret } from '../identity/secrets.js';

const FIND_NODE = new PreparedStatement<{ id: ComputeNodeId; name: string; session: number }>(
  'find node key',
  'SELECT id, name, session FROM compute_node WHERE key_hash = $1',
);

@Injectable()
export class NodeKeyStrategy extends PassportStrategy(Strategy, 'node-key') {
  constructor(private readonly dataSource: DataSource) {
    super();
  }

  override authenticate(request: Request): void {
    super.authenticate(bearerOnly(request));
  }

  async validate(key: string): Promise<NodePrincipal | false> {
    const [row] = await FIND_NODE.run(this.dataSource, [hashSecret(key)]);
    return row === undefined ? false : { nodeId: row.id, nodeName: row.name, session: row.session };
  }
}

@Injectable()
export class NodeKeyGuard extends AuthGuard('node-key') {
  override async canActivate(context: ExecutionContext): Promise<boolean> {
    await admitKey(context.switchToHttp().getRequest<FastifyRequest>(), () => super.canActivate(context), () => 'trusted');
    return true;
  }
}
