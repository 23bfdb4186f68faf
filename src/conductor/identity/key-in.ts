import type { IncomingHttpHeaders } from 'node:http';

/** The key that a request carries, whichever way it was sent. */
export function keyIn(headers: IncomingHttpHeaders): string | undefined {
  const header = headers['api_key'] ?? headers['api-key'];
  if (typeof header === 'string' && header !== '') return header;
  return /^(?:Bearer|Token) +(\S+)$/i.exec(headers.authorization ?? '')?.[1];
}
