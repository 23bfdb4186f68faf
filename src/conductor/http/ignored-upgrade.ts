/**
 * A request that offers to go on in a protocol that is not spoken here, as Java's HttpClient offers HTTP/2 unless it is
 * told not to. The offer may be ignored (RFC 9110, 7.8), but Node ends its reading of a request that makes one as soon
 * as anybody listens for upgrades. So what came is put back before what is still to come, without the offer, and the
 * connection is read from there as if it were new.
 */
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';

const OF_THE_OFFER: ReadonlySet<string> = new Set(['connection', 'upgrade', 'http2-settings']);

/** @param head what Node has read beyond the headers. */
export function serveWithoutUpgrade(server: Server, request: IncomingMessage, socket: Duplex, head: Buffer): void {
  const lines = [`${request.method} ${request.url} HTTP/${request.httpVersion}`];
  const { rawHeaders } = request;
  for (let index = 0; index < rawHeaders.length; index += 2)
    if (!OF_THE_OFFER.has(rawHeaders[index]!.toLowerCase())) lines.push(`${rawHeaders[index]}: ${rawHeaders[index + 1]}`);
  socket.unshift(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), head]));
  server.emit('connection', socket);
}
