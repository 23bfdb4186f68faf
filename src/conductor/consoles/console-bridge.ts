/**
 * A viewer and a worker joined: bytes both ways, each side waiting for the slower one, so that nothing is kept in memory
 * but what two sockets hold. It ends with either of them, when nothing passed for too long, and when a side no longer
 * answers pings, which one that takes nothing does not do either.
 */
import { pipeline } from 'node:stream/promises';
import { createWebSocketStream, type WebSocket } from 'ws';
import { BEGIN, BEGUN, CLOSED, MOST_REASON_BYTES } from '../../protocol/console.js';

const BEGIN_WITHIN_MS = 15_000;
const CLOSE_WITHIN_MS = 2_000;
const PING_MS = 20_000;

export class ConsoleBridge {
  private heardAt = Date.now();
  private readonly watch: NodeJS.Timeout;
  private ended = false;

  /** @param onEnd called once, with why, in words fit for the viewer. */
  constructor(
    private readonly viewer: WebSocket,
    private readonly worker: WebSocket,
    private readonly idleMs: number,
    private readonly onEnd: (reason: string) => void,
  ) {
    for (const side of [viewer, worker]) side.on('message', () => (this.heardAt = Date.now()));
    viewer.once('close', () => this.end('The viewer has gone.'));
    worker.once('close', (code, reason) => this.end(reason.toString() || 'The console was closed by its node.', code));
    const answered = new Set([viewer, worker]);
    viewer.on('pong', () => answered.add(viewer));
    worker.on('pong', () => answered.add(worker));
    this.watch = setInterval(() => this.look(answered), Math.min(PING_MS, idleMs / 2)).unref();
  }

  async begin(): Promise<void> {
    const fromViewer = createWebSocketStream(this.viewer);
    // Whatever ends one way is told by `close`.
    fromViewer.on('error', () => undefined);
    const deadline = setTimeout(() => this.end('The node did not open the console in time.', CLOSED.failed), BEGIN_WITHIN_MS);
    const begun = new Promise<boolean>((resolve) => {
      this.worker.once('message', (message) => {
        const understood = String(message as Buffer) === BEGUN;
        // At once: the next frame is the console's.
        const fromWorker = createWebSocketStream(this.worker);
        fromWorker.on('error', () => undefined);
        if (understood) {
          pipeline(fromViewer, fromWorker, { end: false }).catch(() => undefined);
          pipeline(fromWorker, fromViewer, { end: false }).catch(() => undefined);
        }
        resolve(understood);
      });
      this.worker.once('close', () => resolve(false));
    });
    this.worker.send(BEGIN);
    const understood = await begun;
    clearTimeout(deadline);
    if (!understood) this.end('The node did not open the console.', CLOSED.failed);
  }

  /** Closes both sides. */
  end(reason: string, code: number = CLOSED.ended): void {
    if (this.ended) return;
    this.ended = true;
    clearInterval(this.watch);
    const told = Buffer.from(reason).subarray(0, MOST_REASON_BYTES).toString('utf8').replace(/\ufffd+$/, '');
    this.viewer.close(code >= CLOSED.ended ? code : CLOSED.ended, told);
    this.worker.close(CLOSED.ended);
    setTimeout(() => {
      this.viewer.terminate();
      this.worker.terminate();
    }, CLOSE_WITHIN_MS).unref();
    this.onEnd(reason);
  }

  private look(answered: Set<WebSocket>): void {
    if (Date.now() - this.heardAt > this.idleMs) return this.end('Nothing has passed for too long.');
    for (const side of [this.viewer, this.worker]) {
      // What a paused side said stands behind what the other has not taken.
      if (!answered.delete(side) && !side.isPaused) return this.end('The other end does not answer any more.');
      side.ping();
    }
  }
}
