/** Ports of this host. Between finding one free and using it another program may take it: the user of it retries. */
import { createServer, type AddressInfo } from 'node:net';

export async function freePort(): Promise<number> {
  return (await tryPort('127.0.0.1', 0))!;
}

/** The first free one from `first` on, within the next hundred. */
export async function firstFreePort(host: string, first: number): Promise<number | undefined> {
  for (let port = first; port < first + 100 && port <= 65_535; port += 1)
    if ((await tryPort(host, port)) !== undefined) return port;
  return undefined;
}

/** @returns the port if it was free (for 0: whichever the system chose). */
export async function tryPort(host: string, port: number): Promise<number | undefined> {
  const server = createServer();
  return await new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' || error.code === 'EACCES' ? resolve(undefined) : reject(error),
    );
    server.listen(port, host, () => {
      const chosen = (server.address() as AddressInfo).port;
      server.close(() => resolve(chosen));
    });
  });
}
