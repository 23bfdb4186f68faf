/**
 * What a conductor remembers of the keys that it was sent: which were good, and whose, and from where wrong ones came.
 * Bounded, by hash, and never an answer to who may do what: that is asked of the database each time.
 */
import { ApiError } from '../http/api-error.js';
import { hashSecret } from '../identity/secrets.js';
import { FailedAttempts, type Tolerance } from './failed-attempts.js';
import type { Holder } from './request-slots.js';

const WRONG_KEYS: Tolerance = { burst: 100, perSecond: 5 };
const MOST_KEYS = 10_000;

export class KeyAttempts {
  private readonly good = new Map<string, Holder>();
  private readonly wrong: FailedAttempts;

  constructor(now?: () => number) {
    this.wrong = new FailedAttempts(WRONG_KEYS, now);
  }

  holderOf(key: string): Holder | undefined {
    return this.good.get(nameOf(key));
  }

  /** @throws ApiError 429 for a key that was not good before, from where too many wrong ones came. */
  before(address: string, key: string): void {
    if (this.good.has(nameOf(key))) return;
    const wait = this.wrong.limited(address);
    if (wait !== undefined)
      throw new ApiError(429, 'Too many requests with wrong keys came from your address. Check the key, and try again later.', undefined, wait);
  }

  failed(address: string, key: string): void {
    this.good.delete(nameOf(key));
    this.wrong.add(address);
  }

  succeeded(key: string, holder: Holder): void {
    const name = nameOf(key);
    if (this.good.get(name) === holder) return;
    this.good.set(name, holder);
    if (this.good.size > MOST_KEYS) this.good.delete(this.good.keys().next().value!);
  }
}

const nameOf = (key: string): string => hashSecret(key).toString('base64');
