/**
 * Which nodes are lost for certain: those whose lease has surely run out. A node's lease ends `fenceSeconds` after it
 * *sent* the last sign of life that was answered, and a sign is answered only after it is written. So a node whose
 * written sign has not changed for that long and a margin, by this process's own monotonic clock, has no lease.
 *
 * A conductor that could not look for a while (frozen, without its database) could not hear anybody either: it begins
 * anew, so that an outage of its own does not count against the nodes.
 *
 * No wall clock has a part in it: one that jumps, here, on the node or in the database, loses no node. A conductor that
 * has just started knows of nobody yet and waits the whole time.
 */
import type { ComputeNodeId } from '../../protocol/ids.js';

export interface NodeSign {
  readonly id: ComputeNodeId;
  /** How long its worker was told that its lease lasts. */
  readonly fenceSeconds: number;
  /** Changes with every sign of life and every registration; nothing else is read from it. */
  readonly sign: string;
}

/** Milliseconds between two looks, above which the nodes had no fair chance to be heard in between. */
const FAIR_MS = 5_000;

export class LostNodes {
  private lookedAt = -Infinity;
  private readonly unchangedSince = new Map<ComputeNodeId, { readonly sign: string; readonly at: number }>();

  constructor(
    private readonly marginSeconds: number,
    /** Milliseconds, monotonic. */
    private readonly clock: () => number = () => performance.now(),
  ) {}

  /** @param signs of all nodes, as they were read just now. @returns those that are lost. */
  observe(signs: readonly NodeSign[]): NodeSign[] {
    const now = this.clock();
    if (now - this.lookedAt > FAIR_MS) this.unchangedSince.clear();
    this.lookedAt = now;
    for (const { id, sign } of signs)
      if (this.unchangedSince.get(id)?.sign !== sign) this.unchangedSince.set(id, { sign, at: now });
    const known = new Set(signs.map(({ id }) => id));
    for (const id of this.unchangedSince.keys()) if (!known.has(id)) this.unchangedSince.delete(id);
    return signs.filter(
      ({ id, fenceSeconds }) => now - this.unchangedSince.get(id)!.at >= (fenceSeconds + this.marginSeconds) * 1000,
    );
  }
}
