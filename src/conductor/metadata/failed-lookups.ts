/**
 * Counts failed look-ups by client address, as a token bucket. Valid ones are free: a node's proxy may fetch for
 * hundreds of guests from one address, and a hostile guest beside them must not be able to shut them out. The tokens
 * are too long to be guessed at any rate; this is for clients that are broken or that scan, and for the log.
 *
 * Memory is bounded: of the addresses that failed, the longest silent is forgotten first.
 */
export const BURST = 30;
const REFILL_PER_SECOND = 1;
const MOST_ADDRESSES = 10_000;

interface Bucket {
  readonly tokens: number;
  readonly at: number;
}

export class FailedLookups {
  private readonly buckets = new Map<string, Bucket>();

  constructor(private readonly now: () => number = Date.now) {}

  /** @returns seconds to wait when the address has failed too often, else undefined. */
  add(address: string): number | undefined {
    const at = this.now();
    const last = this.buckets.get(address) ?? { tokens: BURST, at };
    const tokens = Math.min(BURST, last.tokens + ((at - last.at) / 1000) * REFILL_PER_SECOND);
    const limited = tokens < 1;
    // Deleted first: a Map keeps the order of insertion, and this address is the newest now.
    this.buckets.delete(address);
    this.buckets.set(address, { tokens: limited ? tokens : tokens - 1, at });
    if (this.buckets.size > MOST_ADDRESSES) this.buckets.delete(this.buckets.keys().next().value!);
    return limited ? Math.ceil((1 - tokens) / REFILL_PER_SECOND) : undefined;
  }

  get size(): number {
    return this.buckets.size;
  }
}
