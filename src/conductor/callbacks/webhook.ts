/**
 * One webhook as it goes over the wire: signed as the Standard Webhooks specification says, to the URL as its owner
 * wrote it. `new URL` would rewrite paths and queries (`/a/../b`, `'`), and tokens in them must arrive unchanged.
 */
import { randomBytes } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import { version } from '../../version.js';

/** `whsec_` and 256 random bits. */
export const newSigningSecret = (): string => `whsec_${randomBytes(32).toString('base64')}`;

export interface Message {
  readonly id: string;
  readonly body: string;
}

/** One signature for each secret, so that a receiver who still has the old one can verify it while secrets rotate. */
export function webhookHeaders(message: Message, secrets: readonly string[], now: Date): Record<string, string> {
  return {
    'content-type': 'application/json',
    'user-agent': `Baton/${version}`,
    'webhook-id': message.id,
    'webhook-timestamp': String(Math.floor(now.getTime() / 1000)),
    'webhook-signature': secrets.map((secret) => new Webhook(secret).sign(message.id, now, message.body)).join(' '),
  };
}

export interface RequestTarget {
  readonly origin: string;
  /** Path and query, byte for byte. */
  readonly path: string;
}

export function requestTarget(url: string): RequestTarget {
  const { origin } = new URL(url);
  const rest = /^https?:\/\/[^/?#]+([^#]*)/i.exec(url)?.[1] ?? '';
  return { origin, path: rest.startsWith('/') ? rest : `/${rest}` };
}
