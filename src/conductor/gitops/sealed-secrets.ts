/**
 * Secrets that have to be read again (tokens, deploy keys, what pushes are signed with) are kept sealed: AES-256-GCM
 * under a key that is in the configuration and not in the database. The first byte names the form; then the nonce, the
 * tag and the text.
 */
import { Injectable } from '@nestjs/common';
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { InjectConfig } from '../../config/config.module.js';
import type { Config } from '../../config/settings.js';
import { ApiError } from '../http/api-error.js';

const FORM = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

@Injectable()
export class SealedSecrets {
  constructor(@InjectConfig() private readonly config: Pick<Config, 'secretKey'>) {}

  get available(): boolean {
    return this.config.secretKey !== undefined;
  }

  seal(value: unknown): Buffer {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv('aes-256-gcm', this.key(), nonce);
    const sealed = Buffer.concat([cipher.update(JSON.stringify(value), 'utf8'), cipher.final()]);
    return Buffer.concat([Buffer.from([FORM]), nonce, cipher.getAuthTag(), sealed]);
  }

  /** @throws ApiError 503 for what was sealed under another key. */
  open<Value>(sealed: Buffer): Value {
    const nonce = sealed.subarray(1, 1 + NONCE_BYTES);
    const tag = sealed.subarray(1 + NONCE_BYTES, 1 + NONCE_BYTES + TAG_BYTES);
    try {
      const decipher = createDecipheriv('aes-256-gcm', this.key(), nonce).setAuthTag(tag);
      const text = Buffer.concat([decipher.update(sealed.subarray(1 + NONCE_BYTES + TAG_BYTES)), decipher.final()]);
      return JSON.parse(text.toString('utf8')) as Value;
    } catch (error) {
      if (error instanceof ApiError) throw error;
      throw new ApiError(503, 'A secret was sealed under another key than the operator has set now. Set the secret anew.');
    }
  }

  private key(): Buffer {
    if (this.config.secretKey === undefined)
      throw new ApiError(503, 'Secrets cannot be kept: the operator has to set BATON_SECRET_KEY.');
    return this.config.secretKey;
  }
}
