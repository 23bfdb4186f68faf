/** A console as a program opens it: requested and fetched by the API, then a websocket with the ticket. */
import { expect } from '@jest/globals';
import { WebSocket } from 'ws';
import type { Json } from './cloud.js';
import { eventually } from './eventually.js';
import type { VmClient } from './vm-client.js';

type Kind = 'vnc' | 'serial';

export async function requestedConsole(vms: VmClient, vmId: number, kind: Kind = 'vnc'): Promise<number> {
  const { status, body } = await vms.get(`/${vmId}/request-console?type=${kind}`);
  expect({ status, message: body.message }).toMatchObject({ status: 200 });
  return Number(/\/console\/(\d+)$/.exec(body.url)![1]);
}

/** @returns what the API answers as soon as the node is there. */
export const fetchedConsole = (vms: VmClient, vmId: number, job: number): Promise<Json> =>
  eventually(async () => {
    const { body } = await vms.get(`/${vmId}/console/${job}`);
    expect(body.status).toBe(true);
    return body;
  });

export const ticketOf = (body: Json): string => /#ticket=([^&]+)/.exec(body.vnc_url.vnc_url)![1]!;

export async function ticketFor(vms: VmClient, vmId: number, kind: Kind = 'vnc'): Promise<string> {
  return ticketOf(await fetchedConsole(vms, vmId, await requestedConsole(vms, vmId, kind)));
}

/** The viewer's end of a console. */
export class Viewer {
  private bytes = Buffer.alloc(0);
  /** Once it is closed. */
  ending: { readonly code: number; readonly reason: string } | undefined;

  private constructor(readonly socket: WebSocket) {
    socket.on('message', (message: Buffer) => (this.bytes = Buffer.concat([this.bytes, message])));
    socket.on('close', (code, reason) => (this.ending = { code, reason: reason.toString() }));
    socket.on('error', () => undefined);
  }

  get text(): string {
    return this.bytes.toString('latin1');
  }

  /** How many bytes have come. */
  get length(): number {
    return this.bytes.length;
  }

  /** @returns the viewer, or the status with which the websocket was refused. */
  static open(url: string, ticket: string, headers: Record<string, string> = {}): Promise<Viewer | number> {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/consoles/stream`, ['baton.console', `baton.ticket.${ticket}`], { headers });
    const viewer = new Viewer(socket);
    return new Promise((resolve, reject) => {
      socket.once('open', () => resolve(viewer));
      socket.once('unexpected-response', (_request, response) => {
        response.resume();
        resolve(response.statusCode!);
      });
      socket.once('error', reject);
    });
  }

  static async opened(url: string, ticket: string, headers: Record<string, string> = {}): Promise<Viewer> {
    const viewer = await Viewer.open(url, ticket, headers);
    if (typeof viewer === 'number') throw new Error(`the console was refused with ${viewer}`);
    return viewer;
  }

  type(text: string): void {
    this.socket.send(Buffer.from(text, 'latin1'));
  }

  says(text: string, patienceMs?: number): Promise<void> {
    return eventually(() => expect(this.text).toContain(text), patienceMs);
  }

  ends(patienceMs?: number): Promise<{ readonly code: number; readonly reason: string }> {
    return eventually(() => {
      expect(this.ending).toBeDefined();
      return this.ending!;
    }, patienceMs);
  }
}
