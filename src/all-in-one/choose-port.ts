/** The port to serve on: the one asked for or none; the default one or the next that is free. */
import type { Config } from '../config/settings.js';
import { firstFreePort, tryPort } from './free-port.js';
import type { Progress } from './progress.js';

export async function choosePort({ host, port }: Config, askedFor: boolean, progress: Progress): Promise<number> {
  if ((await tryPort(host, port)) !== undefined) return port;
  if (askedFor)
    throw new Error(`Port ${port} of ${host} is taken or not allowed. Choose another with --port, or --port 0 for a free one.`);
  const free = await firstFreePort(host, port + 1);
  if (free === undefined) throw new Error(`Port ${port} and the hundred after it are taken. Choose one with --port.`);
  progress.say(`Port ${port} is taken by another program: serving on ${free}. To choose one: bin/up --port N`);
  return free;
}
