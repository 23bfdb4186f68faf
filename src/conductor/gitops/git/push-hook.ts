/**
 * Push webhooks of Git forges: whether one was signed with the repository's secret, and what it says was pushed. A hook
 * is only a reason to look sooner; nothing that it says is believed further than that.
 *
 * Sources: GitHub `X-Hub-Signature-256` (HMAC-SHA256 of the body, hex, after `sha256=`), Gitea and Forgejo
 * `X-Gitea-Signature` (the same without the prefix), GitLab `X-Gitlab-Token` (the secret itself).
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';

export type PushHookHeaders = Readonly<Record<string, string | string[] | undefined>>;

export interface Push {
  /** Full, such as refs/heads/main. */
  readonly ref: string;
  /** Undefined when the ref was deleted. */
  readonly commit?: string;
}

const COMMIT = /^[0-9a-f]{40}$/;
const PUSH_EVENTS: ReadonlySet<string> = new Set(['push', 'Push Hook', 'Tag Push Hook']);

export function isSigned(headers: PushHookHeaders, body: Buffer, secret: string): boolean {
  const hub = one(headers['x-hub-signature-256']);
  const gitea = one(headers['x-gitea-signature']);
  const gitlab = one(headers['x-gitlab-token']);
  const expected = createHmac('sha256', secret).update(body).digest('hex');
  if (hub !== undefined) return equal(hub, `sha256=${expected}`);
  if (gitea !== undefined) return equal(gitea, expected);
  return gitlab !== undefined && equal(gitlab, secret);
}

/** @returns undefined for what is no push, such as the ping after a hook was made. */
export function pushIn(headers: PushHookHeaders, body: Buffer): Push | undefined {
  const event = one(headers['x-github-event']) ?? one(headers['x-gitea-event']) ?? one(headers['x-gitlab-event']);
  if (event === undefined || !PUSH_EVENTS.has(event)) return undefined;
  const push = parsed(body);
  if (typeof push !== 'object' || push === null) return undefined;
  const { ref, after } = push as { ref?: unknown; after?: unknown };
  if (typeof ref !== 'string') return undefined;
  const exists = typeof after === 'string' && COMMIT.test(after) && !/^0+$/.test(after);
  return { ref, ...(exists && { commit: after }) };
}

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}

const one = (header: string | string[] | undefined): string | undefined => (Array.isArray(header) ? undefined : header);

/** Digests are compared, so that neither content nor length shows in the time it takes. */
function equal(given: string, expected: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(expected));
}
