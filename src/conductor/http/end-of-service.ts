/**
 * How a server stops serving: no new connection is taken, what is in hand gets its answer, and each connection ends with
 * the answer under way. To be waited for before anything else stops, so that what was asked for last still finds the
 * database and the loops that carry it out.
 *
 * Must never wait for a client: one that takes its answer for ever (a file), or sends its question so, is cut off at the
 * end of the time limit. Upgraded connections (consoles) are their owner's.
 */
import type { Server, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

export class EndOfService {
  private readonly inHand = new Set<ServerResponse>();
  private ending = false;
  private noneLeft: () => void = () => undefined;

  /** From now on it knows what is in hand. */
  constructor(private readonly server: Server) {
    server.on('request', (_request, response: ServerResponse) => this.take(response));
  }

  async come(withinMs: number): Promise<void> {
    this.ending = true;
    // Ends idle connections too. Whoever closes the server again is told that it is not running.
    this.server.close();
    for (const response of this.inHand) closeAfter(response);
    if (this.inHand.size > 0) {
      const over = new AbortController();
      const limit = sleep(withinMs, undefined, { signal: over.signal }).catch(() => undefined);
      await Promise.race([new Promise<void>((resolve) => (this.noneLeft = resolve)), limit]);
      over.abort();
    }
    this.server.closeAllConnections();
  }

  private take(response: ServerResponse): void {
    if (this.ending) closeAfter(response);
    this.inHand.add(response);
    response.once('close', () => {
      this.inHand.delete(response);
      if (this.inHand.size === 0) this.noneLeft();
    });
  }
}

function closeAfter(response: ServerResponse): void {
  if (!response.headersSent) response.setHeader('connection', 'close');
}
