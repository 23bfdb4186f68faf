import { describe, expect, it } from '@jest/globals';
import { createHash, generateKeyPairSync } from 'node:crypto';
import { parsePublicKey } from './openssh-public-key.js';

const field = (content: Buffer | string): Buffer => {
  const bytes = Buffer.from(content as string);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
};

const line = (type: string, fields: (Buffer | string)[], inside = type): string =>
  `${type} ${Buffer.concat([inside, ...fields].map(field)).toString('base64')}`;

const part = (key: { export(options: { format: 'jwk' }): object }, name: string): Buffer =>
  Buffer.from((key.export({ format: 'jwk' }) as Record<string, string>)[name]!, 'base64url');

const ed25519 = part(generateKeyPairSync('ed25519').publicKey, 'x');

function rsa(bits: number): string {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: bits });
  return line('ssh-rsa', [part(publicKey, 'e'), Buffer.concat([Buffer.of(0), part(publicKey, 'n')])]);
}

function point(namedCurve: 'P-256' | 'P-384' | 'P-521'): Buffer {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve });
  return Buffer.concat([Buffer.of(4), part(publicKey, 'x'), part(publicKey, 'y')]);
}

describe('a public key', () => {
  it.each([
    ['Ed25519', line('ssh-ed25519', [ed25519])],
    ['RSA', rsa(2048)],
    ['ECDSA P-256', line('ecdsa-sha2-nistp256', ['nistp256', point('P-256')])],
    ['ECDSA P-384', line('ecdsa-sha2-nistp384', ['nistp384', point('P-384')])],
    ['ECDSA P-521', line('ecdsa-sha2-nistp521', ['nistp521', point('P-521')])],
    ['Ed25519 on a security key', line('sk-ssh-ed25519@openssh.com', [ed25519, 'ssh:'])],
    ['ECDSA on a security key', line('sk-ecdsa-sha2-nistp256@openssh.com', ['nistp256', point('P-256'), 'ssh:'])],
  ])('may be %s', (_, key) => {
    expect(parsePublicKey(key).type).toBe(key.split(' ')[0]);
  });

  it('has the MD5 of its blob as fingerprint, as ssh-keygen -E md5 prints it', () => {
    const known =
      'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl github';
    const digest = createHash('md5').update(Buffer.from(known.split(' ')[1]!, 'base64')).digest('hex');
    expect(parsePublicKey(known).fingerprint).toBe(digest.match(/../g)!.join(':'));
    expect(parsePublicKey(known).fingerprint).toMatch(/^([0-9a-f]{2}:){15}[0-9a-f]{2}$/);
  });

  it('may have a comment with spaces, and the line break at its end that files have', () => {
    expect(parsePublicKey(`${line('ssh-ed25519', [ed25519])} Ada on her läptop\r\n`).type).toBe('ssh-ed25519');
  });

  it.each([
    ['a private key', '-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----', /private key/],
    ['nothing', '', /begin with its type/],
    ['a word', 'ssh-ed25519', /begin with its type/],
    ['DSA', line('ssh-dss', [Buffer.alloc(129, 1)]), /begin with its type/],
    ['a name from the prototype', 'constructor AAAA', /begin with its type/],
    ['with options before it', `command="id" ${line('ssh-ed25519', [ed25519])}`, /begin with its type/],
    ['two lines', `${line('ssh-ed25519', [ed25519])}\n${line('ssh-ed25519', [ed25519])}`, /one line/],
    ['with NUL', `${line('ssh-ed25519', [ed25519])} a\0b`, /one line/],
    ['not base64', 'ssh-ed25519 AAAA!!!!', /not base64/],
    ['cut short', line('ssh-ed25519', [ed25519]).slice(0, -8), /cut short/],
    ['empty inside', 'ssh-ed25519 AAAA', /cut short/],
    ['another type inside', line('ssh-ed25519', [ed25519], 'ssh-rsa'), /something else is inside/],
    ['too short for Ed25519', line('ssh-ed25519', [ed25519.subarray(1)]), /32 bytes/],
    ['longer than its fields', line('ssh-ed25519', [ed25519, 'more']), /something follows/],
    ['of another curve', line('ecdsa-sha2-nistp256', ['nistp384', point('P-256')]), /curve is not nistp256/],
    ['compressed', line('ecdsa-sha2-nistp256', ['nistp256', Buffer.alloc(33, 2)]), /no point/],
    ['an even exponent', line('ssh-rsa', [Buffer.of(2), Buffer.alloc(257, 1)]), /not an RSA key/],
    ['a security key without application', line('sk-ssh-ed25519@openssh.com', [ed25519, '']), /application/],
    ['a long comment', `${line('ssh-ed25519', [ed25519])} ${'x'.repeat(201)}`, /at most 200/],
    ['endless', `ssh-ed25519 ${'A'.repeat(20_000)}`, /one line/],
  ])('may not be %s', (_, key, reason) => {
    expect(() => parsePublicKey(key)).toThrow(reason);
  });

  it('of RSA needs 2048 bits, and its owner is told how many it has', () => {
    expect(() => parsePublicKey(rsa(1024))).toThrow(/of 1024 bits/);
  });
});
