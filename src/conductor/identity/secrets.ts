/** Keys and tokens: 160 random bits or more, stored only as SHA-256, looked up by the hash. */
import { createHash, randomBytes } from 'node:crypto';

export const hashSecret = (secret: string): Buffer => createHash('sha256').update(secret).digest();

export type SecretKind = 'key' | 'token' | 'node' | 'join' | 'console';

/** `baton_key_…`: the prefix tells people and secret scanners what they have found. */
const prefixOf = (kind: SecretKind): string => `baton_${kind}_`;

export const newSecret = (kind: SecretKind): string => prefixOf(kind) + randomBytes(24).toString('base64url');

export const isSecret = (kind: SecretKind, text: string): boolean => text.startsWith(prefixOf(kind));

/** What is shown of a key once it is stored: as Infrahub masks its own. */
export const maskKey = (hint: string): string => `********-****-****-****-********${hint}`;

export const hintOf = (secret: string): string => secret.slice(-4);
