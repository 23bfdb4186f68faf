/**
 * Counts failed attempts by client address, as a token bucket: look-ups of metadata, keys that nobody holds. What
 * succeeds is free: a node's proxy may fetch for hundreds of guests from one address, and a hostile guest beside them
 * must not be able to shut them out. Secrets are too long to be guessed at any rate; this is for clients that are broken
 * or that scan, for what they would cost, and for the log.
 *
 * Memory is bounded: of the addresses that failed, the longest silent is forgotten first.
 */
export interface Tolerance {
  readonly burst: number;
  readonly perSecond: number;
}

export const LOOKUPS: Tolerance = { burst: 30, perSecond: 1 };
const MOST_ADDRESSES = 10_000;

interface Bucket {
  readonly tokens: number;
  readonly at: number;
}

export class FailedAttempts {
  private readonly buckets = new Map<string, Bucket>();

  constructor(
    private readonly tolerance: Tolerance,
    private readonly now: () => number = Date.now,
  ) {}

  /** @returns seconds to wait when the address has failed too often, else undefined. */
  add(address: string): number | undefined {
    const at = this.now();
    const tokens = this.tokensOf(address, at);
    const limited = tokens < 1;
    // Deleted first: a Map keeps the order of insertion, and this address is the newest now.
    this.buckets.delete(address);
    this.buckets.set(address, { tokens: limited ? tokens : tokens - 1, at });
    if (this.buckets.size > MOST_ADDRESSES) this.buckets.delete(this.buckets.keys().next().value!);
    return limited ? this.wait(tokens) : undefined;
  }

  /** The same question, of an attempt that has not failed yet. */
  limited(address: string): number | undefined {
    const tokens = this.tokensOf(address, this.now());
    return tokens < 1 ? this.wait(tokens) : undefined;
  }

  get size(): number {
    return this.buckets.size;
  }

  private tokensOf(address: string, at: number): number {
    const { burst, perSecond } = this.tolerance;
    const last = this.buckets.get(address);
    return last === undefined ? burst : Math.min(burst, last.tokens + ((at - last.at) / 1000) * perSecond);
  }

  private wait(tokens: number): number {
    return Math.ceil((1 - tokens) / this.tolerance.perSecond);
  }
}
