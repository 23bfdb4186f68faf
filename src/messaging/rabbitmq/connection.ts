/**
 * One connection to the broker that comes back. Owns the socket, the heartbeat and the reconnecting; channels belong
 * to whoever opened them and close with the connection. It never throws for a broker that is away, and never writes
 * the URL's credentials to a log.
 */
import { EventEmitter, once } from 'node:events';
import { connect, type ChannelModel } from 'amqplib';
import type { Logger } from 'pino';
import { keepAlive, lossOf } from './keep-alive.js';

const HEARTBEAT_SECONDS = 10;
const CONNECT_TIMEOUT_MS = 10_000;

export class RabbitMqConnection {
  private readonly url: string;
  private readonly broker: string;
  private readonly events = new EventEmitter().setMaxListeners(0);
  private readonly stop = new AbortController();
  private readonly running: Promise<void>;
  private current?: ChannelModel;
  private blockedBecause?: string;

  constructor(
    url: string,
    private readonly logger: Logger,
    private readonly name: string,
  ) {
    const parsed = parseAmqpUrl(url);
    if (!parsed.searchParams.has('heartbeat')) parsed.searchParams.set('heartbeat', String(HEARTBEAT_SECONDS));
    this.url = parsed.href;
    this.broker = `${parsed.protocol}//${parsed.host}${parsed.pathname}`;
    this.running = keepAlive(
      (established) => this.session(established),
      this.stop.signal,
      (reason, retryInMs) =>
        logger.warn({ broker: this.broker, reason: reason.message, retryInMs }, 'no connection to RabbitMQ, will retry'),
    );
  }

  /** Set while the broker accepts no publishes (memory or disk alarm). */
  get blocked(): string | undefined {
    return this.blockedBecause;
  }

  get connected(): boolean {
    return this.current !== undefined;
  }

  /** The connection, as soon as there is one; rejects when the signal fires or the connection is closed for good. */
  async live(signal: AbortSignal): Promise<ChannelModel> {
    const either = AbortSignal.any([signal, this.stop.signal]);
    while (!this.current) await once(this.events, 'up', { signal: either });
    return this.current;
  }

  async close(): Promise<void> {
    this.stop.abort();
    await this.current?.close().catch(() => undefined);
    await this.running;
  }

  private async session(established: () => void): Promise<void> {
    const connection = await connect(this.url, {
      noDelay: true,
      timeout: CONNECT_TIMEOUT_MS,
      clientProperties: { connection_name: this.name },
    });
    const lost = lossOf(connection, 'the connection');
    if (this.stop.signal.aborted) return await connection.close();
    connection.on('blocked', (reason: string) => {
      this.blockedBecause = reason;
      this.logger.warn({ broker: this.broker, reason }, 'RabbitMQ accepts no publishes for now');
    });
    connection.on('unblocked', () => (this.blockedBecause = undefined));
    this.current = connection;
    this.logger.info({ broker: this.broker }, 'connected to RabbitMQ');
    established();
    this.events.emit('up');
    try {
      await lost;
    } finally {
      this.current = undefined;
      this.blockedBecause = undefined;
    }
  }
}

/** The message must not repeat the URL: it may hold a password. */
function parseAmqpUrl(url: string): URL {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (!parsed?.hostname || !['amqp:', 'amqps:'].includes(parsed.protocol)) {
    throw new Error('The address of RabbitMQ must look like amqp://user:password@host:5672/vhost (or amqps://…).');
  }
  return parsed;
}
