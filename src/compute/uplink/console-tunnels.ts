/**
 * The worker's end of consoles: for each that the conductor asks for, a websocket to the conductor, opened from here
 * because nobody can reach the worker, and held until the browser comes or the time is over.
 *
 * It owns the websockets and the guests' consoles behind them. A console is begun at most once; one whose conductor goes
 * away before that dials again, and finds another conductor. Nothing is kept in memory but what one write can hold:
 * whoever is slower makes the other wait.
 */
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { createWebSocketStream, type WebSocket } from 'ws';
import { BEGIN, BEGUN, CLOSED, MOST_REASON_BYTES, type ConsoleKind, type ConsoleQuery } from '../../protocol/console.js';
import { HypervisorError, type DomainIdentity } from '../hypervisor/hypervisor.js';

export interface ConsoleTunnelsOptions {
  /** Begins to dial; the websocket is not open yet. */
  readonly dial: (console: number) => WebSocket;
  readonly openConsole: (identity: DomainIdentity, kind: ConsoleKind) => Promise<Duplex>;
  readonly logger: Logger;
  /** Default: one second. */
  readonly dialAgainMs?: number;
}

const MOST_SILENCE_MS = 90_000;

/** How an attempt ended: with the console, or before it began. */
type Ending = 'over' | 'lost';

/** The conductor's words for "there is no such console": dialling again would hear the same. */
const REFUSALS: ReadonlySet<number> = new Set([401, 403, 404, 409, 410]);

export class ConsoleTunnels {
  private readonly underWay = new Map<number, Promise<void>>();
  /** Of each guest, since QEMU lets one in and keeps the others waiting without a word. */
  private readonly serialLines = new Map<string, Duplex>();
  private readonly sockets = new Set<WebSocket>();
  private readonly closing = new AbortController();

  constructor(private readonly options: ConsoleTunnelsOptions) {
    // Every console that waits to dial again listens.
    setMaxListeners(0, this.closing.signal);
  }

  asked(queries: readonly ConsoleQuery[]): void {
    for (const query of queries) {
      if (this.underWay.has(query.console) || this.closing.signal.aborted) continue;
      this.underWay.set(query.console, this.serve(query).finally(() => this.underWay.delete(query.console)));
    }
  }

  async close(): Promise<void> {
    this.closing.abort();
    for (const socket of this.sockets) socket.terminate();
    await Promise.all(this.underWay.values());
  }

  private async serve(query: ConsoleQuery): Promise<void> {
    const deadline = Date.now() + query.seconds * 1000;
    while (!this.closing.signal.aborted && Date.now() < deadline) {
      if ((await this.attempt(query)) === 'over') return;
      await sleep(this.options.dialAgainMs ?? 1000, undefined, { signal: this.closing.signal }).catch(() => undefined);
    }
  }

  private attempt(query: ConsoleQuery): Promise<Ending> {
    return new Promise((resolve) => {
      const socket = this.options.dial(query.console);
      this.sockets.add(socket);
      let ending: Ending = 'lost';
      socket.on('unexpected-response', (request, response) => {
        if (REFUSALS.has(response.statusCode ?? 0)) ending = 'over';
        request.destroy();
        socket.terminate();
      });
      const watch = closeWhenSilent(socket);
      socket.on('error', (error) => this.options.logger.debug({ console: query.console, problem: error.message }, 'a console was cut off'));
      socket.on('close', (code) => {
        clearInterval(watch);
        this.sockets.delete(socket);
        resolve(code >= CLOSED.ended ? 'over' : ending);
      });
      socket.once('message', (message) => {
        ending = 'over';
        if (String(message as Buffer) === BEGIN) void this.begin(query, socket);
        else socket.close(CLOSED.failed, 'The node did not understand the conductor.');
      });
    });
  }

  private async begin({ vmUuid, incarnationId, kind }: ConsoleQuery, socket: WebSocket): Promise<void> {
    try {
      if (kind === 'serial') await this.freeSerialLine(vmUuid);
      const guest = await this.options.openConsole({ vmUuid, incarnationId }, kind);
      if (kind === 'serial') this.takeSerialLine(vmUuid, guest);
      const conductor = createWebSocketStream(socket);
      socket.send(BEGUN);
      await pipeline(conductor, guest, conductor);
    } catch (error) {
      this.options.logger.debug({ vm: vmUuid, problem: (error as Error).message }, 'a console has ended');
      socket.close(CLOSED.failed, reasonOf(error));
    }
  }

  /** Whoever comes last has the line, as with a terminal that is unplugged. */
  private async freeSerialLine(vmUuid: string): Promise<void> {
    const former = this.serialLines.get(vmUuid);
    if (former === undefined || former.closed) return;
    const closed = new Promise<void>((resolve) => former.once('close', resolve));
    former.destroy();
    await closed;
  }

  private takeSerialLine(vmUuid: string, line: Duplex): void {
    this.serialLines.set(vmUuid, line);
    line.once('close', () => {
      if (this.serialLines.get(vmUuid) === line) this.serialLines.delete(vmUuid);
    });
  }
}

/** The conductor pings; one that was switched off says nothing more, and TCP would wait for hours. */
function closeWhenSilent(socket: WebSocket): NodeJS.Timeout {
  let heardAt = Date.now();
  socket.on('ping', () => (heardAt = Date.now()));
  return setInterval(() => {
    // Its pings stand behind what the guest does not take.
    if (!socket.isPaused && Date.now() - heardAt > MOST_SILENCE_MS) socket.terminate();
  }, MOST_SILENCE_MS / 3).unref();
}

/** What the port does not promise is for the log alone. */
function reasonOf(error: unknown): string {
  const reason = error instanceof HypervisorError ? error.message : 'The console was closed by its node.';
  return Buffer.from(reason).subarray(0, MOST_REASON_BYTES).toString('utf8').replace(/\ufffd+$/, '');
}
