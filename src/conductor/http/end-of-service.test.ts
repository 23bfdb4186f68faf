import { once } from 'node:events';
import { createServer, request, Agent, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { EndOfService } from './end-of-service.js';

describe('the end of service', () => {
  let server: Server;
  let service: EndOfService;
  let agent: Agent;
  let asked: Promise<[IncomingMessage, ServerResponse]>;

  beforeEach(async () => {
    server = createServer();
    service = new EndOfService(server);
    agent = new Agent({ keepAlive: true });
    asked = once(server, 'request') as typeof asked;
    await once(server.listen(0, '127.0.0.1'), 'listening');
  });

  afterEach(() => {
    agent.destroy();
    server.closeAllConnections();
  });

  async function ask(): Promise<IncomingMessage> {
    const { port } = server.address() as AddressInfo;
    const [answer] = (await once(request({ port, agent }).end(), 'response')) as [IncomingMessage];
    return answer.resume();
  }

  it('comes when what is in hand is answered, and ends its connection', async () => {
    const answer = ask();
    const [, response] = await asked;
    const over = service.come(60_000);
    response.end('answered');
    expect((await answer).headers.connection).toBe('close');
    await over;
    expect(server.listening).toBe(false);
  });

  it('comes at once when there is nothing but kept connections', async () => {
    const answer = ask();
    (await asked)[1].end();
    await once(await answer, 'end');
    await service.come(60_000);
  });

  it('waits no longer than it may for who takes too long', async () => {
    const answer = ask();
    const cut = expect(answer).rejects.toThrow('hang up');
    await asked;
    await service.come(50);
    await cut;
  });
});
