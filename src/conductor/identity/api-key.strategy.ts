/**
 * Bearer authentication of the API's users. Infrahub's clients send the key as `api_key` (or `api-key`), others as
 * `Authorization: Bearer` or `Token`; all are brought to the one form that passport-http-bearer reads. A key in the
 * query or the body is not looked for: it would end up in logs.
 *
 * The guard then asks whether the key's user may call this endpoint. What he may is read with the key itself, by one
 * statement, so that it costs no second round trip and a role that was changed counts from the next request on.
 */
import { Injectable, type ExecutionContext } from '@nestjs/common';
import { AuthGuard, PassportStrategy } from '@nestjs/passport';
import type { Request } from 'express';
import type { FastifyRequest } from 'fastify';
import { Strategy } from 'passport-http-bearer';
import { DataSource } from 'typeorm';
import type { OrganizationId, UserId } from '../../protocol/ids.js';
import { originOf } from '../audit/origin.js';
import { authorize } from '../access/endpoints.js';
import { admitKey } from '../admission/admit-key.js';
import { grantedTo, type Grants, type MemberRole } from '../access/granted.js';
import { PreparedStatement } from '../database/prepared-statement.js';
import { keyIn } from './key-in.js';
import type { KeyHolder } from './principal.js';
import { hashSecret, isSecret } from './secrets.js';

/** Gives passport-http-bearer the header and nothing else of the request. */
export function bearerOnly(request: Pick<Request, 'headers'>): Request {
  const key = keyIn(request.headers);
  const authorization = key === undefined ? undefined : `Bearer ${key}`;
  return { headers: { authorization } } as unknown as Request;
}

interface KeyRow {
  readonly id: number;
  readonly organization_id: OrganizationId;
  readonly user_id: UserId;
  readonly stale: boolean;
  /** Of an access token. */
  readonly expires_at: Date | null;
  readonly member: MemberRole;
  readonly has_role: boolean;
  readonly permissions: Grants['permissions'];
  readonly policies: Grants['policies'];
}

const FIND_KEY = new PreparedStatement<KeyRow>(
  'find API key',
  `SELECT k.id, k.organization_id, k.user_id, k.last_used_at IS NULL OR k.last_used_at < now() - interval '1 minute' AS stale,
          NULL AS expires_at, m.role AS member, r.id IS NOT NULL AS has_role, r.permissions, r.policies
     FROM api_key k
     JOIN membership m ON m.organization_id = k.organization_id AND m.user_id = k.user_id
     LEFT JOIN role r ON r.id = m.role_id
    WHERE k.key_hash = $1 AND (k.expires_at IS NULL OR k.expires_at > now())`,
);

/** It acts in its own organization, with what its user may do there; the key that it was made with must still be good. */
const FIND_TOKEN = new PreparedStatement<KeyRow>(
  'find access token',
  `SELECT k.id, t.organization_id, t.user_id, false AS stale, t.expires_at, m.role AS member, r.id IS NOT NULL AS has_role,
          r.permissions, r.policies
     FROM access_token t
     JOIN api_key k ON k.id = t.api_key_id
     JOIN membership m ON m.organization_id = t.organization_id AND m.user_id = t.user_id
     LEFT JOIN role r ON r.id = m.role_id
    WHERE t.token_hash = $1 AND t.expires_at > now() AND (k.expires_at IS NULL OR k.expires_at > now())`,
);

@Injectable()
export class ApiKeyStrategy extends PassportStrategy(Strategy, 'api-key') {
  constructor(private readonly dataSource: DataSource) {
    super();
  }

  override authenticate(request: Request): void {
    super.authenticate(bearerOnly(request));
  }

  async validate(key: string): Promise<KeyHolder | false> {
    const [row] = await (isSecret('token', key) ? FIND_TOKEN : FIND_KEY).run(this.dataSource, [hashSecret(key)]);
    if (row === undefined) return false;
    if (row.stale) await this.dataSource.query('UPDATE api_key SET last_used_at = now() WHERE id = $1', [row.id]);
    const granted = grantedTo(row.member, row.has_role ? row : null);
    return { organizationId: row.organization_id, userId: row.user_id, apiKeyId: row.id, tokenExpiresAt: row.expires_at, granted };
  }
}

@Injectable()
export class ApiKeyGuard extends AuthGuard('api-key') {
  override async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = context.switchToHttp().getRequest<FastifyRequest & { user: KeyHolder }>();
    await admitKey(request, () => super.canActivate(context), () => request.user.organizationId);
    authorize(request.method, request.routeOptions.url ?? '', request.user.granted);
    request.user = { ...request.user, origin: originOf(request) };
    return true;
  }
}
