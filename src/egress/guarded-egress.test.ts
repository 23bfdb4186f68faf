import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Agent } from 'undici';
import { AddressRanges } from './address-ranges.js';
import { EgressRefusedError, GuardedEgress, type Resolve } from './guarded-egress.js';

const egress = (...allowed: string[]): GuardedEgress => new GuardedEgress(allowed);

const FORBIDDEN = [
  '0.0.0.0',
  '0.1.2.3',
  '10.0.0.1',
  '100.64.0.1',
  '100.127.255.254',
  '127.0.0.1',
  '127.255.255.254',
  '169.254.169.254',
  '172.16.0.1',
  '172.31.255.255',
  '192.0.0.1',
  '192.0.2.1',
  '192.88.99.1',
  '192.168.1.1',
  '198.18.0.1',
  '198.19.255.255',
  '198.51.100.1',
  '203.0.113.1',
  '224.0.0.1',
  '239.255.255.255',
  '240.0.0.1',
  '255.255.255.255',
  '::',
  '::1',
  '::7f00:1',
  '::ffff:127.0.0.1',
  '::ffff:8.8.8.8',
  '::ffff:0:7f00:1',
  '64:ff9b::7f00:1',
  '64:ff9b:1::a00:1',
  '100::1',
  '2001::1',
  '2001:db8::1',
  '2002:7f00:1::1',
  '2002:a00:1::',
  '3fff::1',
  '4000::1',
  '5f00::1',
  'fc00::1',
  'fd12:3456::1',
  'fe80::1',
  'fe80::1%eth0',
  'fec0::1',
  'ff02::1',
  '',
  'localhost',
  '1.2.3',
  '1.2.3.4.5',
];
const PUBLIC = [
  '1.1.1.1',
  '8.8.8.8',
  '100.63.255.255',
  '100.128.0.1',
  '172.15.0.1',
  '172.32.0.1',
  '192.169.0.1',
  '2606:4700::1111',
  '2a00:1450:4001::1',
];

describe('the address ranges that may be connected to', () => {
  it.each(FORBIDDEN)('exclude %s', (address) => expect(new AddressRanges([]).permits(address)).toBe(false));
  it.each(PUBLIC)('include %s', (address) => expect(new AddressRanges([]).permits(address)).toBe(true));

  it('are widened by what the operator allows, and no further', () => {
    const ranges = new AddressRanges(['127.0.0.0/8', 'fd00::/8']);
    expect(['127.0.0.1', '::ffff:127.0.0.1', 'fd00::1'].map((address) => ranges.permits(address))).toEqual([
      true,
      true,
      true,
    ]);
    expect(['10.0.0.1', '::1', 'fc00::1', '::ffff:10.0.0.1'].some((address) => ranges.permits(address))).toBe(false);
  });

  it('must be given in CIDR notation', () => expect(() => new AddressRanges(['10.0.0.1-9'])).toThrow("'10.0.0.1-9'"));
});

describe('a URL given by a user', () => {
  it.each([
    'http://127.0.0.1/',
    'http://127.1/',
    'http://2130706433/',
    'http://0x7f.0.0.1/',
    'http://0177.0.0.1/',
    'http://0x7f000001/',
    'http://017700000001/',
    'http://0/',
    'http://127.0.0.1./',
    'http://%31%32%37.0.0.1/',
    'http://[::1]/',
    'http://[::ffff:127.0.0.1]/',
    'http://[::ffff:7f00:1]/',
    'http://[0:0:0:0:0:0:0:1]/',
    'http://169.254.169.254/latest/meta-data',
    'https://10.0.0.8:8443/',
    'http://localhost:8080/',
    'http://LOCALHOST/',
    'http://a.localhost/',
    'http://[fd00::1]/',
  ])('is refused when its host is a forbidden address: %s', (url) =>
    expect(egress().refusalOf(url)).toContain('private or reserved address'),
  );

  it.each([
    'ftp://example.com/',
    'file:///etc/passwd',
    'gopher://example.com/',
    'javascript:alert(1)',
    'example.com/hook',
    '//example.com/',
    'http:example.com',
    'http:/example.com',
    'http://',
    'https:///path',
    '',
    'http://[::1',
    'http://example.com:99999/',
  ])('is refused when it is not absolute http or https: %s', (url) =>
    expect(egress().refusalOf(url)).toContain('absolute'),
  );

  it.each([
    'http://user@example.com/',
    'http://user:secret@example.com/',
    'http://@example.com/',
    'http://1.1.1.1@127.0.0.1/',
  ])('is refused when it carries credentials: %s', (url) =>
    expect(egress().refusalOf(url)).toContain('user name or password'),
  );

  it.each([
    'http://exa\tmple.com/',
    'http://example.com/\r\nHost: x',
    'http://example.com\\@127.0.0.1/',
    'http://example.com/a b',
    'http://１２７.0.0.1/',
    'http://exämple.com/',
  ])('is refused when it has characters that parsers disagree on: %j', (url) =>
    expect(egress().refusalOf(url)).toContain('percent-encode'),
  );

  it.each([
    'https://example.com',
    'HTTPS://Example.com/Hook?Token=AbC',
    'http://1.1.1.1:8080/x?y=@z',
    'http://[2606:4700::1111]/',
  ])('is accepted: %s', (url) => expect(egress().refusalOf(url)).toBeUndefined());

  it('may lead to an address that the operator allows', () =>
    expect(egress('127.0.0.0/8').refusalOf('http://localhost:3000/hook')).toBeUndefined());
});

describe('the agent', () => {
  let server: Server;
  let port: number;
  let connections: number;
  let agent: Agent | undefined;

  beforeEach(async () => {
    connections = 0;
    server = createServer((_request, response) => response.setHeader('connection', 'close').end('hello'));
    server.on('connection', () => (connections += 1));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    port = (server.address() as AddressInfo).port;
  });
  afterEach(async () => {
    await agent?.destroy();
    await new Promise((resolve) => server.close(resolve));
  });

  const get = async (allow: string[], host: string, resolve?: Resolve): Promise<string> => {
    agent = egress(...allow).createAgent({ connectionsPerOrigin: 1 }, resolve);
    const { body } = await agent.request({ origin: `http://${host}:${port}`, path: '/', method: 'GET' });
    return await body.text();
  };
  const answering =
    (...addresses: string[]): Resolve =>
    async () =>
      addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));

  it.each(['127.0.0.1', '[::ffff:127.0.0.1]', '[::1]'])('does not connect to the literal %s', async (host) => {
    await expect(get([], host)).rejects.toThrow(EgressRefusedError);
    expect(connections).toBe(0);
  });

  it.each([[['127.0.0.1']], [['::ffff:127.0.0.1']], [['1.1.1.1', '127.0.0.1']]])(
    'does not connect to a name at %j',
    async (addresses) => {
      await expect(get([], 'hook.example', answering(...addresses))).rejects.toThrow(EgressRefusedError);
      expect(connections).toBe(0);
    },
  );

  it('connects to the address that it checked, and resolves a name once for it', async () => {
    let asked = 0;
    const rebinding: Resolve = async () => [{ address: (asked += 1) === 1 ? '127.0.0.1' : '10.0.0.1', family: 4 }];
    await expect(get(['127.0.0.0/8'], 'hook.example', rebinding)).resolves.toBe('hello');
    expect(asked).toBe(1);
  });

  it('checks again when it connects again: a name that moved to a forbidden address is refused', async () => {
    let asked = 0;
    const rebinding: Resolve = async () => [{ address: (asked += 1) === 1 ? '127.0.0.1' : '10.0.0.1', family: 4 }];
    await get(['127.0.0.0/8'], 'hook.example', rebinding);
    const again = agent!.request({ origin: `http://hook.example:${port}`, path: '/', method: 'GET' });
    await expect(again).rejects.toThrow(EgressRefusedError);
    expect(connections).toBe(1);
  });

  it('says so when a name has no address', async () => {
    await expect(get([], 'hook.example', answering())).rejects.toMatchObject({ code: 'ENOTFOUND' });
  });
});
