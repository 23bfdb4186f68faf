import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PassThrough, type Duplex } from 'node:stream';
import { pino } from 'pino';
import { WebSocket, WebSocketServer } from 'ws';
import { BEGIN, BEGUN, CLOSED, type ConsoleQuery } from '../../protocol/console.js';
import type { IncarnationId, VmUuid } from '../../protocol/ids.js';
import { HypervisorError } from '../hypervisor/hypervisor.js';
import { ConsoleTunnels, type ConsoleTunnelsOptions } from './console-tunnels.js';

const query = (console: number, kind: ConsoleQuery['kind'] = 'vnc', seconds = 60): ConsoleQuery => ({
  console,
  kind,
  seconds,
  vmUuid: '0b8ae0b4-5e5c-4d5c-9d3e-000000000001' as VmUuid,
  incarnationId: 7 as IncarnationId,
});

let http: Server;
let conductor: WebSocketServer;
let refusal: number | undefined;
let dialled: number;
let tunnels: ConsoleTunnels;
let guests: Duplex[];
const openConsole = jest.fn<ConsoleTunnelsOptions['openConsole']>();

beforeEach(async () => {
  [refusal, dialled, guests] = [undefined, 0, []];
  http = createServer().listen(0, '127.0.0.1');
  await once(http, 'listening');
  conductor = new WebSocketServer({ noServer: true });
  http.on('upgrade', (request, socket, head) => {
    dialled++;
    if (refusal !== undefined) return socket.end(`HTTP/1.1 ${refusal} No\r\nconnection: close\r\n\r\n`);
    conductor.handleUpgrade(request, socket, head, (websocket) => conductor.emit('connection', websocket, request));
  });
  openConsole.mockReset().mockImplementation(async () => {
    const guest = new PassThrough();
    guests.push(guest);
    return guest;
  });
  tunnels = new ConsoleTunnels({
    dial: (console) => new WebSocket(`ws://127.0.0.1:${(http.address() as AddressInfo).port}/${console}`),
    openConsole,
    logger: pino({ level: 'silent' }),
    dialAgainMs: 5,
  });
});
afterEach(async () => {
  await tunnels.close();
  for (const client of conductor.clients) client.terminate();
  await new Promise((resolve) => http.close(resolve));
});

const come = async (): Promise<WebSocket> => (await once(conductor, 'connection'))[0] as WebSocket;
const said = async (socket: WebSocket): Promise<string> => String((await once(socket, 'message'))[0]);

describe('consoles of a worker', () => {
  it('wait for the browser, and only then open what they are for', async () => {
    tunnels.asked([query(1)]);
    tunnels.asked([query(1)]);
    const socket = await come();
    expect(openConsole).not.toHaveBeenCalled();
    socket.send(BEGIN);
    expect(await said(socket)).toBe(BEGUN);
    socket.send(Buffer.from('echo'));
    expect(await said(socket)).toBe('echo');
    expect(dialled).toBe(1);
  });

  it('dial again when the conductor goes away before the browser came', async () => {
    tunnels.asked([query(1)]);
    (await come()).terminate();
    (await come()).close(1001);
    await come();
  });

  it.each([404, 409, 401])('take %i for an answer', async (status) => {
    refusal = status;
    tunnels.asked([query(1)]);
    await once(http, 'upgrade');
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(dialled).toBe(1);
  });

  it('do not take 503 for an answer', async () => {
    refusal = 503;
    tunnels.asked([query(1)]);
    await once(http, 'upgrade');
    await once(http, 'upgrade');
    refusal = undefined;
    await come();
  });

  it('give up when their time is over', async () => {
    refusal = 503;
    tunnels.asked([query(1, 'vnc', 0.05)]);
    await new Promise((resolve) => setTimeout(resolve, 150));
    const tried = dialled;
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(dialled).toBe(tried);
  });

  it('say why they cannot, in the words of the port alone', async () => {
    openConsole.mockRejectedValueOnce(new HypervisorError('It does not run.', false)).mockRejectedValueOnce(new Error('/var/secret'));
    for (const reason of ['It does not run.', 'The console was closed by its node.']) {
      const coming = come();
      tunnels.asked([query(guests.length + dialled + 1)]);
      const socket = await coming;
      socket.send(BEGIN);
      const [code, told] = (await once(socket, 'close')) as [number, Buffer];
      expect([code, told.toString()]).toEqual([CLOSED.failed, reason]);
    }
  });

  it('close the guest with the viewer, and the viewer with the guest', async () => {
    for (const closeOne of [(socket: WebSocket) => socket.close(), () => guests.at(-1)!.destroy()]) {
      const coming = come();
      tunnels.asked([query(dialled + 1)]);
      const socket = await coming;
      socket.send(BEGIN);
      await said(socket);
      const gone = Promise.all([once(socket, 'close'), once(guests.at(-1)!, 'close')]);
      closeOne(socket);
      await gone;
    }
  });

  it('give the serial line to whoever comes last', async () => {
    tunnels.asked([query(1, 'serial')]);
    const first = await come();
    first.send(BEGIN);
    await said(first);
    const firstClosed = once(first, 'close');
    const coming = come();
    tunnels.asked([query(2, 'serial')]);
    const second = await coming;
    second.send(BEGIN);
    expect(await said(second)).toBe(BEGUN);
    await firstClosed;
    expect(guests.map((guest) => guest.destroyed)).toEqual([true, false]);
  });
});
