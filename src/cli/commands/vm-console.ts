import { setTimeout as sleep } from 'node:timers/promises';
import { ApiClient } from '../api-client.js';
import { attachTerminal } from '../serial-terminal.js';
import type { Run } from './command.js';

const ASK_EVERY_MS = 300;

/** Until the node has answered; a node that does not makes the API say so. */
async function addressOf(api: ApiClient, path: string): Promise<string> {
  for (;;) {
    const { status, vnc_url: found } = await api.get<{ status: boolean; vnc_url: { vnc_url: string } }>(path);
    if (status) return found.vnc_url;
    await sleep(ASK_EVERY_MS);
  }
}

export const run: Run = async ({ flags, environment }) => {
  const api = new ApiClient(environment);
  const vm = await api.vmPath(flags['name'] as string);
  const serial = flags['serial'] === true;
  const attach = serial && process.stdin.isTTY && process.stdout.isTTY && flags['url'] !== true;
  const { url } = await api.get<{ url: string }>(`${vm}/request-console?type=${serial ? 'serial' : 'vnc'}`);
  const page = await addressOf(api, url);
  if (!attach) {
    process.stdout.write(`${page}\n`);
    return;
  }
  process.stderr.write('Connected. Leave with Ctrl-], or with ~. at the beginning of a line.\r\n');
  const ending = await attachTerminal(page, process.stdin, process.stdout);
  process.stderr.write(`\r\n${ending}\n`);
};
