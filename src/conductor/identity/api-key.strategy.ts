/**
 * Bearer authentication of the API's users. Infrahub's clients send the key as `api_key` (or `api-key`), others as
 * `Authorization: Bearer` or `Token`; all are brought to the one form that passport-http-bearer reads. A key in the
 * query or the body is not looked for: it would end up in logs.
 */
import { Injectable } from '@nestjs/common';
import { AuthGuard, PassportStrategy } from '@nestjs/passport';
import type { Request } from 'express';
import type { IncomingHttpHeaders } from 'node:http';
import { Strategy } from 'passport-http-bearer';
import { DataSource } from 'typeorm';
import type { OrganizationId, UserId } from '../../protocol/ids.js';
import { PreparedStatement } from '../database/prepared-statement.js';
import type { KeyHolder } from './principal.js';
import { hashSecret } from './secrets.js';

/** The key that a request carries, whichever way it was sent. */
export function keyIn(headers: IncomingHttpHeaders): string | undefined {
  const header = headers['api_key'] ?? headers['api-key'];
  if (typeof header === 'string' && header !== '') return header;
  return /^(?:Bearer|Token) +(\S+)$/i.exec(headers.authorization ?? '')?.[1];
}

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
}

const FIND_KEY = new PreparedStatement<KeyRow>(
  'find API key',
  `SELECT id, organization_id, user_id, last_used_at IS NULL OR last_used_at < now() - interval '1 minute' AS stale
     FROM api_key WHERE key_hash = $1 AND (expires_at IS NULL OR expires_at > now())`,
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
    const [row] = await FIND_KEY.run(this.dataSource, [hashSecret(key)]);
    if (row === undefined) return false;
    if (row.stale) await this.dataSource.query('UPDATE api_key SET last_used_at = now() WHERE id = $1', [row.id]);
    return { organizationId: row.organization_id, userId: row.user_id, apiKeyId: row.id };
  }
}

@Injectable()
export class ApiKeyGuard extends AuthGuard('api-key') {}
