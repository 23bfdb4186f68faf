/**
 * What a guest of the test talks to: image files and NoCloud metadata by HTTP, on the host's address of its network.
 * Records who asked for what, so that a test can wait for it.
 */
import { createReadStream } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly body: string;
  readonly nodeKey?: string;
}

export class GuestServices {
  readonly seen: SeenRequest[] = [];
  private server?: Server;

  constructor(
    private readonly imageFolder: string,
    private readonly hostname: string,
    private readonly userData: string,
  ) {}

  async listen(address: string, port: number): Promise<void> {
    const server = createServer((request, response) => {
      void bodyOf(request).then(async (body) => {
        const path = request.url ?? '/';
        const nodeKey = request.headers['x-node-key'] as string | undefined;
        this.seen.push({ method: request.method ?? '', path, body, nodeKey });
        const [, kind, , uuid, file] = path.split('/');
        if (kind === 'images') {
          return pipeline(createReadStream(join(this.imageFolder, path.split('/')[2]!)), response).catch(() => undefined);
        }
        const contents: Record<string, string> = {
          'meta-data': `instance-id: ${uuid}\nlocal-hostname: ${this.hostname}\n`,
          'user-data': this.userData,
          'vendor-data': '',
          'phone-home': 'ok\n',
        };
        const content = kind === 'metadata' && file !== undefined ? contents[file] : undefined;
        response.writeHead(content === undefined ? 404 : 200, { connection: 'close' }).end(content);
      });
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, address, resolve);
    });
    this.server = server;
  }

  asked(method: string, pathEnd: string): SeenRequest | undefined {
    return this.seen.find((request) => request.method === method && request.path.endsWith(pathEnd));
  }

  async close(): Promise<void> {
    this.server?.closeAllConnections();
    await new Promise((resolve) => (this.server ? this.server.close(resolve) : resolve(undefined)));
  }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = '';
  for await (const chunk of request) body += String(chunk);
  return body;
}
