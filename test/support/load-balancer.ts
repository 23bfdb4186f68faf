/** Connects workers to whichever conductor takes the connection, as a real fleet's load balancer would. */
import { connect, createServer, type Server, type Socket } from 'node:net';

export class LoadBalancer {
  private next = 0;
  private readonly sockets = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    private ports: readonly number[],
  ) {
    server.on('connection', (client) => this.join(client, this.ports.length));
  }

  static async listen(port: number, ports: readonly number[], host = '127.0.0.1'): Promise<LoadBalancer> {
    const server = createServer();
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, host, resolve));
    return new LoadBalancer(server, ports);
  }

  /** From now on to these, also for those that were connected. */
  route(ports: readonly number[]): void {
    this.ports = ports;
    for (const socket of this.sockets) socket.destroy();
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }

  /** Tries each conductor once. */
  private join(client: Socket, attempts: number): void {
    this.track(client);
    if (attempts === 0) return void client.destroy();
    const upstream = connect(this.ports[this.next++ % this.ports.length]!, '127.0.0.1');
    this.track(upstream);
    const refused = (): void => this.join(client, attempts - 1);
    upstream.once('error', refused);
    upstream.once('connect', () => {
      upstream.off('error', refused);
      client.pipe(upstream).pipe(client);
      client.once('close', () => upstream.destroy());
      upstream.once('close', () => client.destroy());
    });
  }

  private track(socket: Socket): void {
    this.sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => this.sockets.delete(socket));
  }
}
