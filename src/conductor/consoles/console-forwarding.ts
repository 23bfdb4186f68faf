/**
 * The way from the conductor that a browser happened to reach to the one that the worker did: the request to upgrade is
 * passed on as it came, ticket and origin included, and the answer back; then bytes, each side waiting for the slower.
 * It decides nothing: the other conductor asks everything again.
 */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** Says to the other conductor that it is the last one to be asked. */
export const FORWARDED = 'x-baton-forwarded';
const ANSWER_WITHIN_MS = 10_000;

/**
 * @throws Error when the other conductor does not answer.
 * @returns false when it refused; true when what it opened is closed again.
 */
export async function forwardUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer, to: string): Promise<boolean> {
  const answer = await askOther(request, to);
  if (answer === 'refused') return false;
  const { response, other, rest } = answer;
  socket.write(responseHead(response));
  socket.write(rest);
  other.write(head);
  await pipeline(socket, other, socket).catch(() => undefined);
  return true;
}

interface Answer {
  readonly response: IncomingMessage;
  readonly other: Duplex;
  readonly rest: Buffer;
}

function askOther(request: IncomingMessage, to: string): Promise<Answer | 'refused'> {
  const base = new URL(to);
  const ask = base.protocol === 'https:' ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const asked = ask({
      hostname: base.hostname.replace(/^\[|\]$/g, ''),
      port: base.port,
      path: request.url,
      headers: { ...request.headers, [FORWARDED]: '1' },
      timeout: ANSWER_WITHIN_MS,
    });
    asked.on('upgrade', (response, other, rest) => {
      other.on('error', () => other.destroy());
      resolve({ response, other, rest });
    });
    asked.on('response', (response) => {
      response.resume();
      resolve('refused');
    });
    asked.on('timeout', () => asked.destroy(new Error(`the conductor at ${to} did not answer in time`)));
    asked.on('error', reject);
    asked.end();
  });
}

function responseHead({ rawHeaders }: IncomingMessage): string {
  const lines = ['HTTP/1.1 101 Switching Protocols'];
  for (let index = 0; index < rawHeaders.length; index += 2) lines.push(`${rawHeaders[index]}: ${rawHeaders[index + 1]}`);
  return `${lines.join('\r\n')}\r\n\r\n`;
}
