/** A node has one worker: what an older process of the same name still sends is refused. */
import { applyDecorators } from '@nestjs/common';
import { IsInt, Max, Min } from 'class-validator';
import { ApiError } from '../http/api-error.js';
import type { NodePrincipal } from '../identity/principal.js';

export const IsSession = (): PropertyDecorator => applyDecorators(Max(2 ** 31 - 1), Min(0), IsInt());

export function refuseOldSession(node: NodePrincipal, session: number): void {
  if (session !== node.session)
    throw new ApiError(409, `Another worker has registered as node ${node.nodeName}; this one must stop.`);
}
