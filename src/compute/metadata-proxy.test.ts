import { once } from 'node:events';
import { createServer, request, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import type { VmUuid } from '../protocol/ids.js';
import type { Hypervisor } from './hypervisor/hypervisor.js';
import { MetadataProxy } from './metadata-proxy.js';
import { ConductorClient } from './uplink/conductor-client.js';

const TOKEN = 'aB3_-'.repeat(6);
const UUID = '6f1c2f0e-8a54-4c0e-9d2f-0d6f4f1f2a3b';
const GUEST = `/metadata/${TOKEN}/${UUID}`;

/** The test asks from the address of the one guest there is. */
const GUESTS: Pick<Hypervisor, 'guestAt'> = {
  guestAt: async (address) => (address === '127.0.0.1' ? { vmUuid: UUID as VmUuid, token: TOKEN } : undefined),
};

interface Received {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

describe('the metadata proxy', () => {
  let conductor: Server;
  let client: ConductorClient;
  let proxy: MetadataProxy;
  let port: number;
  let received: Received[];

  beforeEach(async () => {
    received = [];
    conductor = createServer((incoming, response) => {
      let body = '';
      incoming.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
      incoming.on('end', () => {
        received.push({ method: incoming.method!, url: incoming.url!, headers: incoming.headers, body });
        const headers = { 'content-type': 'text/yaml', 'set-cookie': 'conductor=1' };
        response.writeHead(200, headers).end('instance-id: 1\n');
      });
    });
    conductor.listen(0, '127.0.0.1');
    await once(conductor, 'listening');
    client = new ConductorClient(`http://127.0.0.1:${(conductor.address() as AddressInfo).port}`);
    client.useBearer('the-node-key');
    proxy = new MetadataProxy(client, GUESTS, pino({ level: 'silent' }));
    ({ port } = await proxy.listen('127.0.0.1', 0));
  });

  afterEach(async () => {
    await proxy.close();
    await client.close();
    conductor.closeAllConnections();
    await new Promise((resolve) => conductor.close(resolve));
  });

  /** By node:http, which sends the path as it is given and does not tidy it up. */
  function ask(method: string, path: string, options: { headers?: Record<string, string>; body?: string | Buffer } = {}) {
    return new Promise<{ status: number; headers: IncomingHttpHeaders; text: string }>((resolve, reject) => {
      const outgoing = request({ host: '127.0.0.1', port, method, path, headers: options.headers }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        response.on('end', () => resolve({ status: response.statusCode!, headers: response.headers, text }));
      });
      outgoing.on('error', reject).end(options.body);
    });
  }

  it.each(['meta-data', 'user-data', 'vendor-data', 'network-config'])('brings the guest its %s', async (document) => {
    const answer = await ask('GET', `${GUEST}/${document}`);
    expect(answer).toMatchObject({ status: 200, text: 'instance-id: 1\n' });
    expect(answer.headers['content-type']).toBe('text/yaml');
    expect(received).toMatchObject([{ method: 'GET', url: `${GUEST}/${document}` }]);
  });

  it.each(['latest', '2018-08-27'])('brings programs in the guest what OpenStack calls %s, by the address they ask from', async (version) => {
    expect((await ask('GET', `/openstack/${version}/meta_data.json`)).status).toBe(200);
    expect(received).toMatchObject([{ method: 'GET', url: `${GUEST}/openstack` }]);
  });

  it.each([
    ['GET', '/openstack/latest/user_data'],
    ['GET', '/openstack/latest/../meta_data.json'],
    ['GET', '/openstack/latest/meta_data.json/'],
    ['POST', '/openstack/latest/meta_data.json'],
  ])('knows nothing else of OpenStack: %s %s', async (method, path) => {
    expect((await ask(method, path)).status).toBe(404);
    expect(received).toEqual([]);
  });

  it('has nothing for who asks from an address of no guest', async () => {
    const stranger = new MetadataProxy(client, { guestAt: async () => undefined }, pino({ level: 'silent' }));
    const at = await stranger.listen('127.0.0.1', 0);
    expect((await fetch(`http://127.0.0.1:${at.port}/openstack/latest/meta_data.json`)).status).toBe(404);
    await stranger.close();
    expect(received).toEqual([]);
  });

  it('passes on that the guest phones home', async () => {
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    expect((await ask('POST', `${GUEST}/phone-home`, { headers, body: 'hostname=otter' })).status).toBe(200);
    expect(received[0]).toMatchObject({ method: 'POST', body: 'hostname=otter', headers });
  });

  it('passes on nothing of what the guest says about itself, and never the key of the node', async () => {
    const headers = { 'x-forwarded-for': '10.1.2.3', forwarded: 'for=10.1.2.3', 'x-real-ip': '10.1.2.3', authorization: 'Bearer stolen', api_key: 'stolen', cookie: 'a=b', host: 'conductor' };
    const answer = await ask('GET', `${GUEST}/meta-data`, { headers });
    expect(answer.headers['set-cookie']).toBeUndefined();
    expect(Object.keys(received[0]!.headers).sort()).toEqual(['connection', 'host']);
    expect(received[0]!.headers.host).toMatch(/^127\.0\.0\.1:\d+$/);
  });

  it.each([
    ['GET', '/v1/core/virtual-machines'],
    ['POST', '/compute/register'],
    ['GET', '/metadata'],
    ['GET', `${GUEST}/`],
    ['GET', `${GUEST}/meta-data/`],
    ['GET', `${GUEST}/meta-data?x=1`],
    ['GET', `${GUEST}/../../../v1/core/flavors`],
    ['GET', `${GUEST}/%2e%2e/meta-data`],
    ['GET', `/metadata/short/${UUID}/meta-data`],
    ['GET', `/metadata/${TOKEN}/${UUID.replaceAll('-', '')}/meta-data`],
    ['GET', `/metadata/${'a'.repeat(65)}/${UUID}/meta-data`],
    ['GET', `//elsewhere${GUEST}/meta-data`],
    ['GET', `http://elsewhere${GUEST}/meta-data`],
    ['GET', `${GUEST}/phone-home`],
    ['POST', `${GUEST}/meta-data`],
    ['PUT', `${GUEST}/phone-home`],
    ['DELETE', `${GUEST}/meta-data`],
  ])('knows nothing of %s %s', async (method, path) => {
    expect((await ask(method, path)).status).toBe(404);
    expect(received).toEqual([]);
  });

  it('refuses a body that is too large', async () => {
    const answer = await ask('POST', `${GUEST}/phone-home`, { body: Buffer.alloc(64 * 1024 + 1) });
    expect(answer.status).toBe(413);
    expect(received).toEqual([]);
  });

  it('asks the guest to come again when the conductor cannot be reached', async () => {
    conductor.closeAllConnections();
    await new Promise((resolve) => conductor.close(resolve));
    const answer = await ask('GET', `${GUEST}/meta-data`);
    expect(answer.status).toBe(503);
    expect(answer.headers['retry-after']).toBe('2');
  });

  it('says what to do when its port is taken', async () => {
    const second = new MetadataProxy(client, GUESTS, pino({ level: 'silent' }));
    await expect(second.listen('127.0.0.1', port)).rejects.toThrow(/EADDRINUSE.*BATON_METADATA_PORT/);
  });
});
