/** Who is asking. The organization comes from the key and from nowhere else. */
import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { Origin } from '../audit/origin.js';
import type { Granted } from '../access/granted.js';
import type { ComputeNodeId, OrganizationId, UserId } from '../../protocol/ids.js';

export interface Principal {
  readonly organizationId: OrganizationId;
  readonly userId: UserId;
  /** The request that he sent; absent when the conductor acts for him by itself. */
  readonly origin?: Origin;
}

/** A principal together with the key it came by and what it may do: for what is possible only within these limits. */
export interface KeyHolder extends Principal {
  readonly apiKeyId: number;
  /** It came by an access token, made with that key, which ends then; null: by the key itself. */
  readonly tokenExpiresAt: Date | null;
  /** A key may do what its user may do, at the moment it is used. */
  readonly granted: Granted;
}

/** A compute worker, by its node's own key. */
export interface NodePrincipal {
  readonly nodeId: ComputeNodeId;
  readonly nodeName: string;
  /** The node's latest session. */
  readonly session: number;
}

const requestUser = (_: unknown, context: ExecutionContext): unknown =>
  context.switchToHttp().getRequest<{ user: unknown }>().user;

/** The caller, as the guard of the route found it: a `Principal` or a `NodePrincipal`. */
export const Caller = createParamDecorator(requestUser);
