/**
 * Where websockets come in: those of workers, which wait here for a browser, and those of browsers, which bring a ticket.
 * Both may come to any conductor. The row of the console says which one holds the worker; a browser that comes elsewhere
 * is passed on there (see console-forwarding.ts), so that neither needs to know more than one address.
 *
 * It owns the websockets of this process and nothing of the database: what may be opened, and what must be closed, is
 * asked of `ConsoleSessions`, every two seconds for all that live here.
 */
import { Injectable, Logger, OnApplicationBootstrap, OnModuleDestroy } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { IncomingMessage, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { DataSource } from 'typeorm';
import { WebSocketServer, type WebSocket } from 'ws';
import { InjectConfig } from '../../config/config.module.js';
import type { Config } from '../../config/settings.js';
import { CLOSED, MOST_FRAME_BYTES } from '../../protocol/console.js';
import { NodeKeyStrategy } from '../fleet/node-key.strategy.js';
import { refuseOldSession } from '../fleet/node-session.js';
import { ApiError, notFound } from '../http/api-error.js';
import { toApiError } from '../http/error-filter.js';
import { serveWithoutUpgrade } from '../http/ignored-upgrade.js';
import { ResourceId } from '../http/resource-id.js';
import { keyIn } from '../identity/key-in.js';
import { ConsoleBridge } from './console-bridge.js';
import { FORWARDED, forwardUpgrade } from './console-forwarding.js';
import { isOwnOrigin } from './console-origin.js';
import { ConsoleSessions } from './console-sessions.service.js';

const RENEW_MS = 2_000;
const CLOSE_WITHIN_MS = 1_000;
const PROTOCOL = 'baton.console';
/** A ticket comes among the protocols of the websocket: never in a URL, which would stand in logs. */
const TICKET = /^baton\.ticket\.(.+)$/;
const WORKER_PATH = /^\/compute\/consoles\/(\d+)$/;
const VIEWER_PATH = '/consoles/stream';

@Injectable()
export class ConsoleGateway implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly logger = new Logger(ConsoleGateway.name);
  private readonly websockets = new WebSocketServer({
    noServer: true,
    maxPayload: MOST_FRAME_BYTES,
    perMessageDeflate: false,
    handleProtocols: (offered) => (offered.has(PROTOCOL) ? PROTOCOL : false),
  });
  /** Workers' websockets for which no browser has come yet. */
  private readonly parked = new Map<number, WebSocket>();
  private readonly open = new Map<number, ConsoleBridge>();
  private readonly forwarded = new Set<Duplex>();
  private timer: NodeJS.Timeout | undefined;
  private ownAddress: Promise<string> | undefined;
  private stopping = false;

  constructor(
    private readonly adapterHost: HttpAdapterHost,
    private readonly dataSource: DataSource,
    private readonly sessions: ConsoleSessions,
    private readonly nodes: NodeKeyStrategy,
    @InjectConfig() private readonly config: Config,
  ) {}

  onApplicationBootstrap(): void {
    this.server().on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      if (request.headers.upgrade?.toLowerCase() !== 'websocket') return serveWithoutUpgrade(this.server(), request, socket, head);
      socket.on('error', () => socket.destroy());
      this.upgrade(request, socket, head).catch((error: unknown) => refuse(socket, this.explained(error)));
    });
    this.timer = setInterval(() => {
      void this.renew().catch((error: Error) => this.logger.warn(`Consoles were not renewed: ${error.message}`));
    }, RENEW_MS);
  }

  async onModuleDestroy(): Promise<void> {
    this.stopping = true;
    clearInterval(this.timer);
    const parked = [...this.parked.keys()];
    const address = this.ownAddress && (await this.ownAddress.catch(() => undefined));
    for (const bridge of this.open.values()) bridge.end('The conductor is shutting down. Request another console.');
    for (const socket of this.parked.values()) socket.close(1001);
    for (const socket of this.forwarded) socket.destroy();
    if (address) await Promise.all(parked.map((console) => this.sessions.unpark(console, address).catch(() => undefined)));
    const deadline = Date.now() + CLOSE_WITHIN_MS;
    while (this.websockets.clients.size > 0 && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 10));
    for (const socket of this.websockets.clients) socket.terminate();
  }

  private async upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const [path = '', query] = (request.url ?? '').split('?', 2);
    const worker = WORKER_PATH.exec(path);
    if (this.stopping) throw new ApiError(503, 'The conductor is shutting down. Try again.', undefined, 1);
    if (worker !== null) return this.acceptWorker(request, socket, head, worker[1]!, new URLSearchParams(query));
    if (path === VIEWER_PATH) return this.acceptViewer(request, socket, head);
    throw notFound('This websocket');
  }

  private async acceptWorker(request: IncomingMessage, socket: Duplex, head: Buffer, id: string, query: URLSearchParams): Promise<void> {
    const key = keyIn(request.headers);
    const node = key !== undefined && (await this.nodes.validate(key));
    if (!node) throw new ApiError(401, 'Send the node key as Authorization: Bearer.');
    refuseOldSession(node, Number(query.get('session')));
    const console = new ResourceId('The console').transform(id);
    const address = await this.address();
    if (!(await this.sessions.park(node.nodeId, console, address))) throw notFound('The console');
    this.websockets.handleUpgrade(request, socket, head, (websocket) => {
      websocket.on('error', () => websocket.terminate());
      this.parked.get(console)?.terminate();
      this.parked.set(console, websocket);
      websocket.once('close', () => {
        if (this.parked.get(console) !== websocket) return;
        this.parked.delete(console);
        void this.sessions.unpark(console, address).catch(() => undefined);
      });
    });
  }

  private async acceptViewer(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    if (!isOwnOrigin(request.headers, this.config.publicUrl))
      throw new ApiError(403, 'A page of another site may not open a console. Is BATON_PUBLIC_URL the address that you use?');
    const ticket = ticketIn(request);
    const found = ticket === undefined ? undefined : await this.sessions.locate(ticket);
    if (ticket === undefined || found === undefined) throw invalidTicket();
    const address = await this.address();
    if (found.heldBy !== address) return this.passOn(request, socket, head, found.heldBy);
    const { console } = found;
    const worker = this.parked.get(console);
    if (worker === undefined || !(await this.sessions.open(console, ticket, address))) throw invalidTicket();
    this.parked.delete(console);
    this.websockets.handleUpgrade(request, socket, head, (viewer) => {
      viewer.on('error', () => viewer.terminate());
      const bridge = new ConsoleBridge(viewer, worker, this.config.consoleIdleSeconds * 1000, (reason) => {
        this.open.delete(console);
        void this.sessions.end(console, reason).catch(() => undefined);
      });
      this.open.set(console, bridge);
      void bridge.begin();
    });
    // A handshake that was refused, or a viewer that went away during it, brings no websocket.
    if (!this.open.has(console)) {
      worker.close(CLOSED.ended);
      await this.sessions.end(console, 'The viewer has gone.');
    }
  }

  private async passOn(request: IncomingMessage, socket: Duplex, head: Buffer, to: string): Promise<void> {
    if (request.headers[FORWARDED] !== undefined) throw invalidTicket();
    this.forwarded.add(socket);
    let opened: boolean;
    try {
      opened = await forwardUpgrade(request, socket, head, to);
    } catch (error) {
      this.logger.warn(`A console could not be passed on: ${(error as Error).message}. Is BATON_PEER_URL right there?`);
      throw new ApiError(503, 'The conductor that has this console cannot be reached. Request another console.', undefined, 1);
    } finally {
      this.forwarded.delete(socket);
    }
    if (!opened) throw invalidTicket();
  }

  /** Closes what lives here no longer by the database. */
  private async renew(): Promise<void> {
    const consoles = [...this.parked.keys(), ...this.open.keys()];
    if (consoles.length === 0) return;
    const living = await this.sessions.renew(await this.address(), consoles, this.config.consoleSeconds);
    for (const console of consoles.filter((id) => !living.has(id))) {
      this.parked.get(console)?.close(CLOSED.ended);
      const bridge = this.open.get(console);
      if (bridge !== undefined) bridge.end(await this.sessions.end(console, 'The console has ended: its time is over.'));
    }
  }

  /** By default the address that the database sees: other conductors are where the database is. */
  private address(): Promise<string> {
    this.ownAddress ??= this.findAddress().catch((error: unknown) => {
      this.ownAddress = undefined;
      throw error;
    });
    return this.ownAddress;
  }

  private async findAddress(): Promise<string> {
    if (this.config.peerUrl !== undefined) return this.config.peerUrl;
    const [{ seen }] = await this.dataSource.query<[{ seen: string | null }]>('SELECT host(inet_client_addr()) AS seen');
    const { port } = this.server().address() as AddressInfo;
    const host = seen ?? '127.0.0.1';
    return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
  }

  private server(): Server {
    return this.adapterHost.httpAdapter.getHttpServer() as Server;
  }

  private explained(error: unknown): ApiError {
    const apiError = toApiError(error);
    if (apiError.status >= 500 && !(error instanceof ApiError)) this.logger.error(error instanceof Error ? error.stack : String(error));
    return apiError;
  }
}

const invalidTicket = (): ApiError =>
  new ApiError(401, 'The ticket is not valid: it was used, is older than a minute, or its virtual machine was stopped. Request another console.');

function ticketIn(request: IncomingMessage): string | undefined {
  const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((protocol) => protocol.trim());
  return offered.map((protocol) => TICKET.exec(protocol)?.[1]).find((ticket) => ticket !== undefined);
}

function refuse(socket: Duplex, { status, message, reason, retryAfter }: ApiError): void {
  if (socket.destroyed) return;
  const body = JSON.stringify({ status: false, message, error_reason: reason });
  const head = [
    `HTTP/1.1 ${status} Refused`,
    'connection: close',
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    ...(retryAfter === undefined ? [] : [`retry-after: ${retryAfter}`]),
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
}
