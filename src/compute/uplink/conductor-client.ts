/**
 * The worker's way to the conductor: JSON endpoints under the node's own key and the guests' metadata, over connections
 * that are kept alive, and a websocket for each console.
 *
 * It sorts failures and does nothing about them: `ConductorUnreachable` may be tried again, `ConductorRefusal` will
 * be the same next time. The key goes to the conductor's own origin only; redirects are not followed.
 */
import { Pool, type Dispatcher } from 'undici';
import { WebSocket } from 'ws';
import { MOST_FRAME_BYTES } from '../../protocol/console.js';
import type { ConsoleLogAnswer } from '../../protocol/console-log.js';
import type { SampleBatch } from '../../protocol/metrics.js';
import type { Heartbeat, HeartbeatAnswer, RegisterAnswer, RegisterRequest } from '../../protocol/node.js';
import type { ImageNewsAnswer, ImageNewsBatch } from '../../protocol/image.js';
import type { ReportBatch, ReportBatchAnswer } from '../../protocol/report.js';
import type { RemovedSnapshots } from '../../protocol/snapshot.js';
import type { PreparedVolumes, RemovedVolumes } from '../../protocol/volume.js';

const CONNECTIONS = 8;
const TIME_LIMIT_MS = 15_000;

/** Passing: no connection, no answer in time, or the conductor says that it cannot just now. */
export class ConductorUnreachable extends Error {
  override readonly name = 'ConductorUnreachable';
}

export class ConductorRefusal extends Error {
  override readonly name = 'ConductorRefusal';

  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** 404 among them: a proxy that stands in front says it while its conductor restarts. */
const PASSING_STATUS: ReadonlySet<number> = new Set([404, 408, 425, 429]);

export interface ForwardedRequest {
  readonly method: 'GET' | 'POST';
  /** Without the leading slash. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Buffer;
  readonly signal: AbortSignal;
}

export class ConductorClient {
  private readonly pool: Pool;
  /** Ends in a slash, so that a conductor behind a path prefix is reached too. */
  private readonly base: URL;
  private bearer = '';

  constructor(readonly url: string) {
    this.base = new URL(url.endsWith('/') ? url : `${url}/`);
    this.pool = new Pool(this.base.origin, {
      connections: CONNECTIONS,
      headersTimeout: TIME_LIMIT_MS,
      bodyTimeout: TIME_LIMIT_MS,
      connect: { timeout: TIME_LIMIT_MS },
    });
  }

  /** The join token or the node's key, whichever the node has. */
  useBearer(bearer: string): void {
    this.bearer = bearer;
  }

  authorization(): Record<string, string> {
    return { authorization: `Bearer ${this.bearer}` };
  }

  register(request: RegisterRequest): Promise<RegisterAnswer> {
    return this.post<RegisterAnswer>('compute/register', request);
  }

  heartbeat(beat: Heartbeat, signal: AbortSignal): Promise<HeartbeatAnswer> {
    return this.post<HeartbeatAnswer>('compute/heartbeat', beat, signal);
  }

  report(batch: ReportBatch): Promise<ReportBatchAnswer> {
    return this.post<ReportBatchAnswer>('compute/reports', batch);
  }

  async sendConsoleLog(request: number, answer: ConsoleLogAnswer): Promise<void> {
    await this.post(`compute/console-logs/${request}`, answer);
  }

  /** Dials; the websocket tells by its events what comes of it. */
  dialConsole(console: number, session: number): WebSocket {
    const url = new URL(`compute/consoles/${console}?session=${session}`, this.base);
    url.protocol = url.protocol.replace('http', 'ws');
    return new WebSocket(url, {
      headers: this.authorization(),
      handshakeTimeout: TIME_LIMIT_MS,
      maxPayload: MOST_FRAME_BYTES,
      perMessageDeflate: false,
    });
  }

  async sendSamples(batch: SampleBatch): Promise<void> {
    await this.post('compute/metrics', batch);
  }

  async volumesRemoved(removed: RemovedVolumes): Promise<void> {
    await this.post('compute/removed-volumes', removed);
  }

  async snapshotsRemoved(removed: RemovedSnapshots): Promise<void> {
    await this.post('compute/removed-snapshots', removed);
  }

  tellOfImages(batch: ImageNewsBatch): Promise<ImageNewsAnswer> {
    return this.post<ImageNewsAnswer>('compute/image-news', batch);
  }

  async volumesPrepared(prepared: PreparedVolumes): Promise<void> {
    await this.post('compute/prepared-volumes', prepared);
  }

  /** Passes a guest's request on, without the node's key. */
  forward({ path, ...request }: ForwardedRequest): Promise<Dispatcher.ResponseData> {
    return this.pool.request({ ...request, path: this.base.pathname + path });
  }

  async close(): Promise<void> {
    await this.pool.destroy();
  }

  private async post<Answer>(path: string, body: object, signal?: AbortSignal): Promise<Answer> {
    const { status, text } = await this.exchange(path, JSON.stringify(body), signal);
    if (status >= 200 && status < 300) return parseAnswer<Answer>(path, text);
    const message = `the conductor answered ${status} to ${path}${reasonIn(text)}`;
    if (status >= 500 || PASSING_STATUS.has(status)) throw new ConductorUnreachable(message);
    throw new ConductorRefusal(status, message);
  }

  private async exchange(path: string, body: string, signal?: AbortSignal): Promise<{ status: number; text: string }> {
    try {
      const headers = { ...this.authorization(), 'content-type': 'application/json' };
      const options = { method: 'POST' as const, path: this.base.pathname + path, headers, body, signal: signal ?? null };
      const { statusCode, body: answer } = await this.pool.request(options);
      return { status: statusCode, text: await answer.text() };
    } catch (error) {
      const { code, message } = error as { code?: unknown; message: string };
      // The code of a timeout is a bare number.
      const reason = typeof code === 'string' ? code : message;
      throw new ConductorUnreachable(`the conductor at ${this.url} cannot be reached: ${reason}`, { cause: error });
    }
  }
}

function parseAnswer<Answer>(path: string, text: string): Answer {
  try {
    return JSON.parse(text) as Answer;
  } catch (error) {
    throw new ConductorUnreachable(`the answer to ${path} is not JSON; is this address a conductor's?`, { cause: error });
  }
}

/** The `message` of the error envelope, where there is one. */
function reasonIn(text: string): string {
  try {
    const { message } = JSON.parse(text) as { message?: unknown };
    return typeof message === 'string' ? `: ${message}` : '';
  } catch {
    return '';
  }
}
