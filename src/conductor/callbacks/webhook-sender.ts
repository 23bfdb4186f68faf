/**
 * Makes one attempt to deliver one webhook and says how it went; it never throws. What the receiver answers beyond its
 * status code is discarded, and what goes wrong is put in our own words: neither a foreign body nor the text of an
 * exception may reach the delivery log. Redirects are not followed.
 */
import { Injectable } from '@nestjs/common';
import type { Agent } from 'undici';
import { EgressRefusedError } from '../../egress/guarded-egress.js';
import { EgressPolicy } from '../egress/egress-policy.js';
import { requestTarget, webhookHeaders, type Message } from './webhook.js';

const ATTEMPT_TIMEOUT_MS = 10_000;
export const CONNECTIONS_PER_HOST = 8;
const DISCARDED_BYTES = 16 * 1024;

export interface Attempt {
  readonly delivered: boolean;
  /** The receiver does not want this webhook, now or ever. */
  readonly final: boolean;
  readonly responseStatus: number | null;
  readonly error: string | null;
}

@Injectable()
export class WebhookSender {
  private readonly agent: Agent;

  constructor(egress: EgressPolicy) {
    this.agent = egress.createAgent({ connectionsPerOrigin: CONNECTIONS_PER_HOST });
  }

  async send(message: Message & { readonly url: string }, secrets: readonly string[]): Promise<Attempt> {
    return await this.post(message, secrets).catch((error: unknown) => notSent(error));
  }

  /** When no attempt is under way any more. */
  async close(): Promise<void> {
    await this.agent.destroy();
  }

  private async post(message: Message & { readonly url: string }, secrets: readonly string[]): Promise<Attempt> {
    const signal = AbortSignal.timeout(ATTEMPT_TIMEOUT_MS);
    const { statusCode, body } = await this.agent.request({
      ...requestTarget(message.url),
      method: 'POST',
      headers: webhookHeaders(message, secrets, new Date()),
      body: message.body,
      signal,
    });
    // The status has the answer already; a body that is slow, broken or endless does not change it.
    await body.dump({ limit: DISCARDED_BYTES, signal }).catch(() => undefined);
    return judge(statusCode);
  }
}

function judge(status: number): Attempt {
  const delivered = status >= 200 && status < 300;
  const answer = { delivered, final: delivered || status === 410, responseStatus: status };
  if (delivered) return { ...answer, error: null };
  if (status === 410) return { ...answer, error: 'the receiver answered 410 Gone: it wants no more' };
  if (status >= 300 && status < 400)
    return { ...answer, error: `the receiver answered ${status}: redirects are not followed` };
  return { ...answer, error: `the receiver answered ${status}` };
}

const CAUSES: Readonly<Record<string, string>> = {
  ENOTFOUND: 'the host name was not found',
  EAI_AGAIN: 'the host name could not be looked up',
  ECONNREFUSED: 'the connection was refused',
  ECONNRESET: 'the connection was closed by the receiver',
  UND_ERR_SOCKET: 'the connection was closed by the receiver',
  EHOSTUNREACH: 'the host is not reachable',
  ENETUNREACH: 'the host is not reachable',
  UND_ERR_CONNECT_TIMEOUT: 'the host did not accept the connection in time',
  ETIMEDOUT: 'the host did not accept the connection in time',
};

function notSent(error: unknown): Attempt {
  return { delivered: false, final: false, responseStatus: null, error: wordsFor(error) };
}

function wordsFor(error: unknown): string {
  if (error instanceof EgressRefusedError) return error.message;
  const { name = '', code = '' } = error as { name?: string; code?: unknown };
  if (name === 'TimeoutError') return `the receiver did not answer within ${ATTEMPT_TIMEOUT_MS / 1000} seconds`;
  if (/CERT|SSL|TLS|SELF_SIGNED|ALTNAME/.test(String(code)))
    return "the receiver's TLS certificate or protocol is not acceptable";
  return CAUSES[String(code)] ?? 'the webhook could not be sent';
}
