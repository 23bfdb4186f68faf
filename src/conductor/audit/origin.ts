/** Where a request came from and what it asked for: what the audit has to say beside who. Pure. */
import type { FastifyRequest } from 'fastify';

export interface Origin {
  /** As in the answer's `x-request-id`; of what Git asked for, the commit. */
  readonly requestId: string;
  /** Of the peer; no header can claim another. Git has none. */
  readonly address: string | null;
  /** Of HTTP, or `SYNC`. */
  readonly method: string;
  /** The route, with its parameters as `{}`. */
  readonly endpoint: string;
  /** As it was asked for, without the query. */
  readonly path: string;
  /** The first id in the path. */
  readonly resourceId: number | null;
}

export function originOf(request: FastifyRequest): Origin {
  const path = request.url.split('?', 1)[0]!;
  return {
    requestId: request.id,
    address: request.ip,
    method: request.method,
    endpoint: (request.routeOptions.url ?? '').replace(/:\w+(\([^)]*\))?/g, '{}'),
    path,
    resourceId: idIn(path),
  };
}

function idIn(path: string): number | null {
  const digits = /\/(\d{1,9})(?:\/|$)/.exec(path)?.[1];
  return digits === undefined ? null : Number(digits);
}

const GROUPS: ReadonlySet<string> = new Set(['v1', 'core', 'auth', 'gitops']);

/** `/v1/core/virtual-machines/{}/start` is about a `virtual-machine`. */
export function resourceOf(endpoint: string): string {
  const parts = endpoint.split('/').filter((part) => part !== '' && !GROUPS.has(part));
  return (parts[0] ?? '').replace(/s$/, '');
}
