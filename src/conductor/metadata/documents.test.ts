import { describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { metaData, NETWORK_CONFIG, VENDOR_DATA, type GuestIdentity } from './documents.js';
import { hostnameFor } from './hostname.js';

const UUID = '6f1c2f7e-9f0b-4c59-8d5e-0f4c7c1b2a3d';
const guest = (change: Partial<GuestIdentity> = {}): GuestIdentity => ({
  uuid: UUID,
  name: 'web-1',
  region: 'default-1',
  publicKeys: ['ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB me@desk'],
  ...change,
});
/** As PyYAML, which cloud-init uses, reads it. */
const read = (text: string): Record<string, unknown> => parse(text, { version: '1.1' }) as Record<string, unknown>;

const HOSTILE = [
  'a\nlocal-hostname: evil',
  'a\r\ninstance-id: other',
  ']]></domain>',
  '</domain>',
  '$(id)',
  '`id`',
  '{{ 7*7 }}',
  "'",
  '"',
  '\\',
  '\u202Egnp.exe',
  '# comment',
  'a: b',
  '- item',
  '&anchor',
  '*alias',
  '!!python/object:os.system',
  '---',
  '...',
  '|',
  '>',
  '%YAML',
  'yes',
  'no',
  'null',
  '~',
  '0x1f',
  '1e5',
  '012',
  '12:30:45',
  '2026-01-01',
  '.inf',
  '',
  ' ',
  '\t',
  '\u2028',
  '\u0085',
  '\uFEFF',
  '😀',
  'x'.repeat(500),
  `${'word '.repeat(100)}\nend`,
];

describe('meta-data', () => {
  it('names the instance, its host name and its keys', () =>
    expect(read(metaData(guest()))).toEqual({
      'instance-id': UUID,
      'local-hostname': 'web-1',
      hostname: 'web-1',
      'public-keys': ['ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB me@desk'],
      'availability-zone': 'default-1',
      baton: { name: 'web-1' },
    }));

  it.each(HOSTILE)('reads as it was meant with the name %j', (name) => {
    const text = metaData(guest({ name }));
    expect(read(text)).toMatchObject({ 'instance-id': UUID, baton: { name } });
    expect(text).toMatch(/^local-hostname: [a-z0-9][a-z0-9-]*$/m);
  });

  it.each(HOSTILE)('reads as it was meant with the key %j and the region %j', (hostile) => {
    const publicKeys = [hostile, `ssh-rsa AAAA ${hostile}`, hostile];
    const document = read(metaData(guest({ publicKeys, region: hostile })));
    expect(document).toMatchObject({
      'public-keys': publicKeys,
      'availability-zone': hostile,
      'local-hostname': 'web-1',
    });
  });

  it('can be read line by line: plain ids, and each key on one line', () => {
    const keys = [`ssh-rsa ${'A'.repeat(700)} a: long # comment`, 'ssh-ed25519 AAAAC3 two'];
    const lines = metaData(guest({ publicKeys: keys })).split('\n');
    expect(lines).toContain(`instance-id: ${UUID}`);
    expect(lines).toContain('local-hostname: web-1');
    for (const key of keys) expect(lines.filter((line) => line.includes(key))).toHaveLength(1);
  });

  it('lets no name or key begin a line of its own', () => {
    const hostile = 'x\nlocal-hostname: evil\ninstance-id: evil\nssh-rsa AAAA evil';
    const lines = metaData(guest({ name: hostile, publicKeys: [hostile] })).split('\n');
    expect(lines.filter((line) => /^(local-hostname|instance-id|ssh-rsa)/.test(line))).toHaveLength(2);
  });

  it('has an empty list for a VM without keys', () =>
    expect(read(metaData(guest({ publicKeys: [] })))['public-keys']).toEqual([]));
});

describe('a host name', () => {
  it.each([
    ['web-1', 'web-1'],
    ['Web_Server 2', 'web-server-2'],
    ['Überraschung', 'uberraschung'],
    ['--a--', 'a'],
    ['../../etc', 'etc'],
    ['$(id)', 'id'],
    ['123', 'vm-123'],
    ['1e5', 'vm-1e5'],
    ['yes', 'vm-yes'],
    ['NULL', 'vm-null'],
    ['2nd', '2nd'],
    ['', 'vm-6f1c2f7e'],
    ['日本', 'vm-6f1c2f7e'],
  ])('of %j is %s', (name, hostname) => expect(hostnameFor(name, UUID)).toBe(hostname));

  it('is a DNS label whatever the name', () => {
    for (const name of [...HOSTILE, '9'.repeat(100), 'a-'.repeat(60)])
      expect(hostnameFor(name, UUID)).toMatch(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/);
  });
});

describe('vendor-data', () => {
  it('is a template of cloud-init that makes the address to phone home to', () => {
    expect(VENDOR_DATA.split('\n').slice(0, 2)).toEqual(['## template: jinja', '#cloud-config']);
    const rendered = VENDOR_DATA.replace('{{ ds.meta_data.seedfrom }}', 'http://192.168.123.1/metadata/t/u/');
    expect(read(rendered)).toMatchObject({ phone_home: { url: 'http://192.168.123.1/metadata/t/u/phone-home' } });
  });
});

describe('network-config', () => {
  it('asks for an address by DHCP', () =>
    expect(read(NETWORK_CONFIG)).toEqual({
      version: 2,
      ethernets: { primary: { match: { name: 'e*' }, dhcp4: true, dhcp6: false } },
    }));
});
