/**
 * Placement: which nodes take the VMs of a request. All of them find a node or none does.
 *
 * Pure: it reads a snapshot, draws from the randomness it is given, and returns. What it proposes is not yet claimed;
 * the caller claims with a conditional update, and on losing the race asks again with a fresh snapshot.
 *
 * VMs are put down one by one, each where it is best given those before it. As they are alike, this never strands
 * one: it succeeds exactly when the nodes' rooms, each counted in whole VMs, add up to the count.
 */
import type { ComputeNodeId } from '../../protocol/ids.js';
import { explainPlaced, explainRefused, type PlacementExplanation } from './explanation.js';
import { FILTERS, firstRemoving } from './filters/pipeline.js';
import type { NodeView } from './node-view.js';
import type { PlacementRequest } from './placement-request.js';
import { Shortlist } from './shortlist.js';
import { score, type PlacementPolicy } from './weighers/policies.js';

export type { PlacementExplanation } from './explanation.js';
export type { PlacementPolicy } from './weighers/policies.js';

export interface PlacementOptions {
  readonly policy: PlacementPolicy;
  /** From 0 (included) to 1 (excluded), as `Math.random`. */
  readonly random: () => number;
}

export type PlacementResult =
  /** One node for each VM; a node may be named several times. */
  | { readonly placed: readonly ComputeNodeId[]; readonly explanation: PlacementExplanation }
  | { readonly refused: PlacementExplanation };

export function place(
  nodes: readonly NodeView[],
  request: PlacementRequest,
  { policy, random }: PlacementOptions,
): PlacementResult {
  if (!Number.isInteger(request.count) || request.count < 1) {
    throw new RangeError(`A placement is for one VM or more, not ${request.count}.`);
  }
  const shortlist = new Shortlist(request.count);
  const removed = FILTERS.map(() => 0);

  // Equals stay in the order of the walk: starting anywhere lets each node of an idle fleet have its turn at the front.
  const start = Math.floor(random() * nodes.length);
  for (let step = 0; step < nodes.length; step++) {
    const node = nodes[start + step < nodes.length ? start + step : start + step - nodes.length]!;
    const index = firstRemoving(node, request, 1);
    if (index < FILTERS.length) removed[index]!++;
    else shortlist.offer(node, 0, score(policy, node, request, 1));
  }

  const placed: ComputeNodeId[] = [];
  while (placed.length < request.count) {
    const drawn = shortlist.draw(random);
    if (drawn === undefined) return { refused: explainRefused(nodes, request, placed) };
    placed.push(drawn.node.id);
    const vms = drawn.vms + 1;
    if (firstRemoving(drawn.node, request, vms + 1) === FILTERS.length) {
      shortlist.offer(drawn.node, vms, score(policy, drawn.node, request, vms + 1));
    }
  }
  return { placed, explanation: explainPlaced(request, nodes.length, removed) };
}
