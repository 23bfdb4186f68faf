/**
 * The best candidates of one placement, best first, and the draw among them.
 *
 * Only as many are kept as can matter. To put down a VM changes the score of one node alone, so the best `few` at any
 * of `count` draws are among the `few + count - 1` that were best at the start: fleets of any size are walked once.
 *
 * Excludes the race in which conductors, seeing the same fleet, all claim the same best node: each draws among those
 * that are nearly as good. A node that is clearly worse is never drawn, so a fleet of three still follows the policy.
 */
import type { NodeView } from './node-view.js';

const BEST_FEW = 5;
const NEARLY_AS_GOOD = 0.1;

export interface Candidate {
  readonly node: NodeView;
  /** How many VMs of this call it holds. */
  readonly vms: number;
  readonly score: number;
}

export class Shortlist {
  private readonly candidates: Candidate[] = [];
  private readonly limit: number;

  constructor(count: number) {
    this.limit = BEST_FEW + count - 1;
  }

  /** Of equals, the one that was offered first stays ahead. */
  offer(node: NodeView, vms: number, score: number): void {
    const { candidates, limit } = this;
    if (candidates.length === limit && score <= candidates[limit - 1]!.score) return;
    let position = candidates.length;
    while (position > 0 && score > candidates[position - 1]!.score) position--;
    candidates.splice(position, 0, { node, vms, score });
    if (candidates.length > limit) candidates.pop();
  }

  /** Takes one of the best few out of the list; undefined when the list is empty. */
  draw(random: () => number): Candidate | undefined {
    const best = this.candidates[0];
    if (best === undefined) return undefined;
    let few = 1;
    while (few < BEST_FEW && few < this.candidates.length) {
      if (best.score - this.candidates[few]!.score > NEARLY_AS_GOOD) break;
      few++;
    }
    return this.candidates.splice(Math.floor(random() * few), 1)[0];
  }
}
