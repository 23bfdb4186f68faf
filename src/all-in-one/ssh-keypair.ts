/**
 * The demo's SSH key, made once and kept. Node makes Ed25519 keys but does not write OpenSSH's file format, and
 * ssh-keygen is not everywhere, so the format (PROTOCOL.key in OpenSSH's sources) is written here.
 */
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const KEY_TYPE = 'ssh-ed25519';
const CIPHER_BLOCK = 8;

export interface SshKeypair {
  readonly publicKey: string;
  readonly privateKeyFile: string;
}

export async function keepSshKeypair(folder: string): Promise<SshKeypair> {
  const privateKeyFile = join(folder, 'id_ed25519');
  const publicKeyFile = `${privateKeyFile}.pub`;
  const kept = await readFile(publicKeyFile, 'utf8').catch(() => undefined);
  if (kept !== undefined) return { publicKey: kept.trim(), privateKeyFile };
  const { privateKey, publicKey } = newSshKeypair('baton-demo');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeFile(privateKeyFile, privateKey, { mode: 0o600 });
  // The public half is what is looked for: it appears last, and whole.
  await writeFile(`${publicKeyFile}.new`, `${publicKey}\n`);
  await rename(`${publicKeyFile}.new`, publicKeyFile);
  return { publicKey, privateKeyFile };
}

function newSshKeypair(comment: string): { privateKey: string; publicKey: string } {
  const jwk = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' });
  const seed = Buffer.from(jwk.d!, 'base64url');
  const point = Buffer.from(jwk.x!, 'base64url');
  const publicBlob = Buffer.concat([text(KEY_TYPE), text(point)]);
  const check = randomBytes(4);
  const secret = Buffer.concat([check, check, publicBlob, text(Buffer.concat([seed, point])), text(comment)]);
  const padding = Buffer.from(Array.from({ length: -secret.length & (CIPHER_BLOCK - 1) }, (_, index) => index + 1));
  const file = Buffer.concat([
    Buffer.from('openssh-key-v1\0'),
    text('none'),
    text('none'),
    text(''),
    number(1),
    text(publicBlob),
    text(Buffer.concat([secret, padding])),
  ]);
  const lines = file.toString('base64').match(/.{1,70}/g)!;
  return {
    privateKey: ['-----BEGIN OPENSSH PRIVATE KEY-----', ...lines, '-----END OPENSSH PRIVATE KEY-----', ''].join('\n'),
    publicKey: `${KEY_TYPE} ${publicBlob.toString('base64')} ${comment}`,
  };
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** The format's `string`: its length, then its bytes. */
function text(content: string | Buffer): Buffer {
  const bytes = Buffer.from(content as string);
  return Buffer.concat([number(bytes.length), bytes]);
}
