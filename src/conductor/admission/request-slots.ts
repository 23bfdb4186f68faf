/**
 * How many requests are in hand at once, and whose: pure accounting. There are never more than `total`. As long as half
 * of the slots are free everybody gets one; beyond that nobody gets more than a fair share, which is counted as if one
 * more than those present were there, so that there is room for who comes next: alone an organization has half.
 *
 * A slot that was given is given back exactly once, however often that is said.
 */
import type { OrganizationId } from '../../protocol/ids.js';

/** Whose work it is. `unknown`: whose key it is must be looked up first; all of those share one holder's part. */
export type Holder = OrganizationId | 'unknown' | 'trusted';

/** `full`: nobody gets one at the moment. `unfair`: others do. */
export type Refusal = 'full' | 'unfair';

export interface Slot {
  /** Whose it turned out to be. @returns why it has to be given back, or nothing. */
  turnsOutToBe(holder: Holder): Refusal | undefined;
  leave(): void;
}

export class RequestSlots {
  private readonly held = new Map<Holder, number>();
  private inHand = 0;

  constructor(readonly total: number) {}

  get taken(): number {
    return this.inHand;
  }

  heldBy(holder: Holder): number {
    return this.held.get(holder) ?? 0;
  }

  enter(holder: Holder): Slot | Refusal {
    if (this.inHand >= this.total) return 'full';
    if (this.isUnfair(holder)) return 'unfair';
    this.inHand += 1;
    this.add(holder, 1);
    return this.slotOf(holder);
  }

  private slotOf(first: Holder): Slot {
    let holder: Holder | undefined = first;
    return {
      turnsOutToBe: (found) => {
        if (holder === undefined || holder === found) return undefined;
        if (this.isUnfair(found)) return 'unfair';
        this.add(holder, -1);
        this.add((holder = found), 1);
        return undefined;
      },
      leave: () => {
        if (holder === undefined) return;
        this.inHand -= 1;
        this.add(holder, -1);
        holder = undefined;
      },
    };
  }

  /** Those who are trusted are bounded by the total alone. */
  private isUnfair(holder: Holder): boolean {
    if (holder === 'trusted' || this.inHand * 2 < this.total) return false;
    const present = this.held.size + (this.held.has(holder) ? 0 : 1);
    return this.heldBy(holder) >= Math.max(1, Math.floor(this.total / (present + 1)));
  }

  private add(holder: Holder, slots: number): void {
    const now = this.heldBy(holder) + slots;
    if (now === 0) this.held.delete(holder);
    else this.held.set(holder, now);
  }
}
