/**
 * Reads a public key as OpenSSH writes it (`type base64 comment`), down to the fields inside the blob (RFC 4253,
 * RFC 5656, RFC 8709, PROTOCOL.u2f), so that what passes here is a key that sshd in the guest will accept. A line
 * that sshd would skip in silence leaves its owner outside a running VM; it is refused here, with the reason.
 */
import { createHash } from 'node:crypto';
import { badRequest } from '../http/api-error.js';
import { PLAIN_TEXT } from '../http/plain-text.js';

const MAX_LENGTH = 16 * 1024;
const MAX_COMMENT_LENGTH = 200;
const MIN_RSA_BITS = 2048;
const MAX_RSA_BITS = 16_384;

export interface OpenSshPublicKey {
  readonly type: string;
  /** MD5 of the blob, colon-separated hex: what Infrahub shows. */
  readonly fingerprint: string;
}

/** The fields of a blob, each preceded by its length in four bytes. */
class Blob {
  private position = 0;

  constructor(private readonly bytes: Buffer) {}

  field(): Buffer {
    const start = this.position + 4;
    const end = start <= this.bytes.length ? start + this.bytes.readUInt32BE(this.position) : Infinity;
    if (end > this.bytes.length) throw badRequest('public_key is damaged: its base64 part is cut short. Copy it again.');
    this.position = end;
    return this.bytes.subarray(start, end);
  }

  get exhausted(): boolean {
    return this.position === this.bytes.length;
  }
}

const damaged = (what: string): Error => badRequest(`public_key is damaged: ${what}. Copy it again.`);

function readRsa(blob: Blob): void {
  const exponent = blob.field();
  const modulus = blob.field();
  if (exponent.length === 0 || exponent.length > 8 || (exponent.at(-1)! & 1) === 0 || modulus.length === 0)
    throw damaged('it is not an RSA key inside');
  const bits = BigInt(`0x${modulus.toString('hex')}`).toString(2).length;
  if (bits < MIN_RSA_BITS || bits > MAX_RSA_BITS)
    throw badRequest(
      `public_key is an RSA key of ${bits} bits; ${MIN_RSA_BITS} to ${MAX_RSA_BITS} are accepted. ` +
        'Make a better one with: ssh-keygen -t ed25519',
    );
}

function readEd25519(blob: Blob): void {
  if (blob.field().length !== 32) throw damaged('an Ed25519 key has 32 bytes');
}

const readEcdsa = (curve: string, pointLength: number) => (blob: Blob): void => {
  if (blob.field().toString('latin1') !== curve) throw damaged(`its curve is not ${curve}`);
  const point = blob.field();
  // 4: not compressed, the only form that OpenSSH reads.
  if (point.length !== pointLength || point[0] !== 4) throw damaged(`it holds no point on ${curve}`);
};

const withApplication = (read: (blob: Blob) => void) => (blob: Blob): void => {
  read(blob);
  if (blob.field().length === 0) throw damaged('a security key names its application');
};

/** By type, what follows it in the blob. */
const READERS: Readonly<Record<string, (blob: Blob) => void>> = {
  'ssh-ed25519': readEd25519,
  'ssh-rsa': readRsa,
  'ecdsa-sha2-nistp256': readEcdsa('nistp256', 65),
  'ecdsa-sha2-nistp384': readEcdsa('nistp384', 97),
  'ecdsa-sha2-nistp521': readEcdsa('nistp521', 133),
  'sk-ssh-ed25519@openssh.com': withApplication(readEd25519),
  'sk-ecdsa-sha2-nistp256@openssh.com': withApplication(readEcdsa('nistp256', 65)),
};

/** What `parsePublicKey` takes. */
export const KEY_TYPES: readonly string[] = Object.keys(READERS);

export function parsePublicKey(text: string): OpenSshPublicKey {
  if (/-----BEGIN [A-Z ]*PRIVATE KEY/.test(text))
    throw badRequest('public_key is a private key. Keep it to yourself, and send the content of the .pub file beside it.');
  const line = text.trim();
  if (line.length > MAX_LENGTH || !PLAIN_TEXT.test(line.replaceAll('\t', ' ')))
    throw badRequest('public_key must be one line of printable text, as in a .pub file: TYPE BASE64 COMMENT.');
  const [, type = '', encoded = '', comment = ''] = /^(\S+)[ \t]+(\S+)(?:[ \t]+(.*))?$/.exec(line) ?? [];
  const read = Object.hasOwn(READERS, type) ? READERS[type] : undefined;
  if (read === undefined)
    throw badRequest(`public_key must begin with its type, one of ${Object.keys(READERS).join(', ')}, then the base64 part.`);
  if (comment.length > MAX_COMMENT_LENGTH)
    throw badRequest(`The comment at the end of public_key may have at most ${MAX_COMMENT_LENGTH} characters.`);
  const bytes = Buffer.from(encoded, 'base64');
  if (bytes.toString('base64') !== encoded) throw damaged('its second part is not base64');
  const blob = new Blob(bytes);
  if (blob.field().toString('latin1') !== type) throw damaged(`it says ${type}, but something else is inside`);
  read(blob);
  if (!blob.exhausted) throw damaged('something follows the key');
  return { type, fingerprint: fingerprintOf(bytes) };
}

const fingerprintOf = (blob: Buffer): string =>
  createHash('md5').update(blob).digest('hex').replace(/..(?=.)/g, '$&:');
