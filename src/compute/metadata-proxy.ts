/**
 * The only door from a guest to the conductor: the four documents of its metadata and its phone-home, each under the
 * guest's own token. It listens on an address of the host that guests of every environment reach, and nobody else.
 *
 * Programs that look for OpenStack's metadata (Kubernetes' drivers) know no token: theirs is put in here, by the address
 * that they ask from, which no guest can forge. Nothing secret is in that document.
 *
 * Everything else is 404, so that guests never reach the conductor's API. Of a request only path, method, body and
 * content type are passed on, never its headers, and never a credential of the node; sizes and times are limited.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Logger } from 'pino';
import type { Hypervisor } from './hypervisor/hypervisor.js';
import type { ConductorClient } from './uplink/conductor-client.js';

const UUID = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}';
const GUEST = `^/metadata/[A-Za-z0-9_-]{20,64}/${UUID}`;
const ALLOWED: Readonly<Record<string, RegExp>> = {
  GET: new RegExp(`${GUEST}/(meta-data|user-data|vendor-data|network-config|openstack)$`),
  POST: new RegExp(`${GUEST}/phone-home$`),
};

/** As OpenStack has it, of any of its versions. */
const OPENSTACK = /^\/openstack\/(latest|\d{4}-\d{2}-\d{2})\/meta_data\.json$/;
const MOST_BODY_BYTES = 64 * 1024;
const MOST_ANSWER_BYTES = 1024 * 1024;
const TIME_LIMIT_MS = 10_000;
const MOST_CONNECTIONS = 512;

class TooLarge extends Error {}

export class MetadataProxy {
  private readonly server: Server;

  constructor(
    private readonly client: Pick<ConductorClient, 'forward'>,
    private readonly guests: Pick<Hypervisor, 'guestAt'>,
    private readonly logger: Logger,
  ) {
    const limits = { headersTimeout: TIME_LIMIT_MS, requestTimeout: TIME_LIMIT_MS, connectionsCheckingInterval: 2_000 };
    this.server = createServer(limits, (request, response) => {
      this.serve(request, response).catch((error: unknown) => this.fail(response, error));
    });
    this.server.maxConnections = MOST_CONNECTIONS;
  }

  async listen(host: string, port: number): Promise<AddressInfo> {
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', (error: NodeJS.ErrnoException) => reject(explainListen(error, host, port)));
      this.server.listen(port, host, resolve);
    });
    return this.server.address() as AddressInfo;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '' } = request;
    const url = await this.pathOf(request);
    if ((method !== 'GET' && method !== 'POST') || !ALLOWED[method]!.test(url)) return answer(response, 404);
    // Refused before it is read: a request that is broken off gets no answer.
    if (Number(request.headers['content-length']) > MOST_BODY_BYTES) throw new TooLarge('announced as too large');
    const body = method === 'POST' ? await read(request, MOST_BODY_BYTES) : undefined;
    const contentType = request.headers['content-type'];
    const forwarded = await this.client.forward({
      method,
      path: url.slice(1),
      headers: contentType === undefined || method === 'GET' ? {} : { 'content-type': contentType },
      ...(body && { body }),
      signal: AbortSignal.timeout(TIME_LIMIT_MS),
    });
    const document = await read(forwarded.body, MOST_ANSWER_BYTES);
    const type = forwarded.headers['content-type'];
    response.writeHead(forwarded.statusCode, typeof type === 'string' ? { 'content-type': type } : {}).end(document);
  }

  /** Where the conductor has what is asked for. */
  private async pathOf({ method, url = '', socket }: IncomingMessage): Promise<string> {
    if (method !== 'GET' || !OPENSTACK.test(url)) return url;
    const guest = await this.guests.guestAt(socket.remoteAddress ?? '');
    return guest === undefined ? url : `/metadata/${guest.token}/${guest.vmUuid}/openstack`;
  }

  private fail(response: ServerResponse, error: unknown): void {
    if (error instanceof TooLarge) return answer(response, 413, { connection: 'close' });
    if (response.destroyed) return;
    // The path holds the guest's token and is not logged.
    this.logger.warn({ problem: (error as Error).message }, 'a guest did not get its metadata');
    answer(response, 503, { 'retry-after': '2' });
  }
}

function answer(response: ServerResponse, status: number, headers: Record<string, string> = {}): void {
  if (!response.headersSent) response.writeHead(status, headers);
  response.end();
}

async function read(stream: AsyncIterable<Buffer>, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    bytes += chunk.length;
    if (bytes > limit) throw new TooLarge(`more than ${limit} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function explainListen(error: NodeJS.ErrnoException, host: string, port: number): Error {
  return new Error(
    `The metadata of guests cannot be served on ${host}:${port} (${error.code}). ` +
      'Set BATON_METADATA_PORT to a port that no other worker of this host has, or BATON_METADATA_ADDRESS to another address.',
    { cause: error },
  );
}
